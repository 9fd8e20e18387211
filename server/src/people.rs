//! `person:` of queries, answered by the reference tables.

use detect::reference::{OwnedAccount, Tables, accounts_of, names_of_people, people_named};
use search::query::{Account, NoPerson, People, Person};

/// The tables, asked for people.
pub struct Register<'a>(pub &'a Tables);

impl People for Register<'_> {
    fn person(&self, given: &str) -> Result<Person, NoPerson> {
        let tables = self.0;
        if tables.get("account_registry").is_none() {
            return Err(NoPerson {
                problem: "`person:` needs the table account_registry, which is not loaded".into(),
                suggestion: Some("set `reference` in the configuration, or name the accounts: user:(a OR b)".into()),
            });
        }
        let found = people_named(tables, given);
        match &found[..] {
            [(id, _)] => Ok(Person {
                id: id.clone(),
                accounts: accounts_of(tables, id).into_iter().map(account).collect(),
            }),
            [] => {
                let names = names_of_people(tables);
                let near = search::query::field::nearest(given, names.iter().map(String::as_str));
                Err(NoPerson {
                    problem: format!("nobody in hr_roster is `{}`", shown(given)),
                    suggestion: near
                        .map(|n| format!("did you mean `{n}`?"))
                        .or_else(|| Some("give an employee id, a name, a login or an address of mail".into())),
                })
            }
            several => {
                let all: Vec<String> = several
                    .iter()
                    .take(10)
                    .map(|(id, name)| format!("{id} ({name})"))
                    .collect();
                Err(NoPerson {
                    problem: format!("`{}` is {} people", shown(given), several.len()),
                    suggestion: Some(format!("give the employee id: {}", all.join(", "))),
                })
            }
        }
    }
}

fn account(owned: OwnedAccount) -> Account {
    Account {
        systems: owned.systems,
        account: owned.account,
        from: owned.from,
        to: owned.to,
        unless: owned.unless.into_iter().map(account).collect(),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(60).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_named_suggested_and_told_apart() {
        let mut tables = Tables::default();
        let problem = |t: &Tables, given| Register(t).person(given).unwrap_err().problem;
        assert!(problem(&tables, "E1").contains("account_registry"));
        let register = br#"[{"system": "crm", "account": "lina", "owner_employee_id": "E1"}]"#;
        tables.load("account_registry", register).unwrap();
        let roster = br#"[{"employee_id": "E1", "name": "Li Na"}, {"employee_id": "E2", "name": "Wu"}, {"employee_id": "E3", "name": "Wu"}]"#;
        tables.load("hr_roster", roster).unwrap();
        assert_eq!(Register(&tables).person("li na").unwrap().accounts.len(), 1);
        assert_eq!(problem(&tables, "Wu"), "`Wu` is 2 people");
        let nobody = Register(&tables).person("Li Ma").unwrap_err();
        assert_eq!(nobody.suggestion.as_deref(), Some("did you mean `Li Na`?"));
    }
}
