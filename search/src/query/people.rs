//! Who is behind an account: `person:` as conditions on accounts, each as of the time that it was theirs.

use model::Millis;

use super::ast::{Leaf, Node, Target, Test};
use super::field::{self, FieldSpec};
use crate::keyword::{Glob, folded};

/// Says which accounts a person has, or had.
pub trait People {
    /// The person of this employee id, name, login or address of mail.
    ///
    /// # Errors
    /// There is no such person, or several.
    fn person(&self, given: &str) -> Result<Person, NoPerson>;
}

/// A person, as the registers know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The employee id.
    pub id: String,
    /// Their accounts of all times.
    pub accounts: Vec<Account>,
}

/// Accounts of one name, for a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The systems (`docket.system`), any of them; `*` stands for any text.
    pub systems: Vec<String>,
    /// The account; `*` stands for any text.
    pub account: String,
    /// From when on it is theirs; `None`: always was.
    pub from: Option<Millis>,
    /// From when on no longer; `None`: still.
    pub to: Option<Millis>,
    /// Somebody else's, which go first.
    pub unless: Vec<Account>,
}

/// Nobody, or nobody in particular.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct NoPerson {
    /// What is wrong.
    pub problem: String,
    /// Who could be meant.
    pub suggestion: Option<String>,
}

/// The events of a person: what the actor's account did (where an event has no actor, the user's), and what carries
/// their employee id.
pub(super) fn events_of(person: &Person, at: usize) -> Node {
    let own = leaf("actor_uid", Test::Is(folded(&person.id)), at);
    let accounts = person.accounts.iter().map(|a| by(a, at));
    Node::Or(accounts.chain([own]).collect())
}

fn by(account: &Account, at: usize) -> Node {
    let mut all = vec![matching(account, at)];
    all.extend(
        account
            .unless
            .iter()
            .map(|other| Node::Not(Box::new(matching(other, at)))),
    );
    Node::And(all)
}

fn matching(account: &Account, at: usize) -> Node {
    let name = || whole(&account.account);
    let who = Node::Or(vec![
        leaf("actor", name(), at),
        Node::And(vec![
            leaf("subject", name(), at),
            Node::Not(Box::new(leaf("actor", Test::Exists, at))),
        ]),
    ]);
    let systems = account.systems.iter().map(|s| leaf("system", whole(s), at));
    let mut all = vec![Node::Or(systems.collect()), who];
    if account.from.is_some() || account.to.is_some() {
        let first = account.from.map_or(i64::MIN, |t| t.0);
        let last = account.to.map_or(i64::MAX, |t| t.0.saturating_sub(1));
        all.push(leaf("time", Test::Time(first, last), at));
    }
    Node::And(all)
}

fn whole(text: &str) -> Test {
    if !text.contains('*') {
        return Test::Is(folded(text));
    }
    let glob = |c| if c == '*' { Glob::Many } else { Glob::Char(c) };
    Test::Like(folded(text).chars().map(glob).collect())
}

fn leaf(name: &str, test: Test, at: usize) -> Node {
    let spec: &'static FieldSpec = field::find(name).expect("the table has it");
    Node::Leaf(Leaf {
        target: Target::Field(spec),
        test,
        at,
    })
}

/// Conditions of a part of a query.
pub(super) fn conditions(node: &Node) -> usize {
    match node {
        Node::And(items) | Node::Or(items) => items.iter().map(conditions).sum(),
        Node::Not(inner) => conditions(inner),
        Node::Leaf(_) => 1,
    }
}
