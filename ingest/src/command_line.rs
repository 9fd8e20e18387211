//! What a command line runs: its simple commands, each in one normal form that policies match from the start.
//!
//! `sudo -u root sh -c "cd /data && rm -rf ./*"` runs `cd /data` and `rm -rf ./*`. The reader is a lexer of the
//! shell's grammar with bounds, not a shell: it expands nothing, and what it cannot follow it keeps as text.

mod lex;
mod named;
mod options;
mod script;
mod sql;
mod unwrap;
mod windows;

pub use named::{addresses, data_files};
use unwrap::Reader;

/// Commands that are returned at most.
const COMMANDS_MAX: usize = 64;
/// Bytes of the text that are looked at.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Bytes that are returned at most: reached by no text under 4 KiB.
const OUT_BYTES_MAX: usize = 256 << 10;
/// How deep wrappers and substitutions may nest.
const DEPTH_MAX: usize = 8;

/// The simple commands of a command line, a script, or a bare SQL text, in order; substitutions follow the command
/// that holds them. Each is the program without its folder and the arguments without quotes, joined by one space,
/// and the files it writes or reads as trailing `> path`, `>> path`, `< path`.
///
/// Wrappers (`sudo`, `env`, `nohup`, `sh -c`, `su -c`, `xargs`, …) are left out in favour of what they run; `ssh`,
/// `kubectl exec` and `find -exec` are kept and followed by it (for `{}` stands the folder that `find` looks through). What `echo` or
/// `printf` says to a shell or a client is read as if it stood in a here-document. SQL handed to a client gives a further element
/// `sql: <statement>` for each statement. At most 64 commands of the first 64 KiB are returned, and 256 KiB of them.
#[must_use]
pub fn simple_commands(text: &str) -> Vec<String> {
    let text = prefix(text, TEXT_BYTES_MAX);
    let mut reader = Reader::default();
    if sql::is_bare(text) {
        reader.sql(text);
    } else {
        reader.script(text, 0);
    }
    reader.out
}

/// As [`simple_commands`], of a Windows host: a backslash is no escape.
#[must_use]
pub fn windows_commands(text: &str) -> Vec<String> {
    let mut reader = Reader::of_windows();
    reader.script(prefix(text, TEXT_BYTES_MAX), 0);
    reader.out
}

/// As [`simple_commands`], of a text that a database says it ran: all of it is SQL, also where it does not look so (`SET …`).
#[must_use]
pub fn statements(text: &str) -> Vec<String> {
    let mut reader = Reader::default();
    reader.sql(prefix(text, TEXT_BYTES_MAX));
    reader.out
}

/// The first `bytes_max` bytes, less a broken last character.
fn prefix(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(simple_commands(text), expected, "{text}");
    }

    #[test]
    fn a_line_is_cut_where_the_shell_cuts_it() {
        check("", &[]);
        check("   ", &[]);
        check("ls", &["ls"]);
        check("/usr/bin/ls  -l   /tmp", &["ls -l /tmp"]);
        check(
            "cd /data && rm -rf ./* || echo no; sync & wait",
            &["cd /data", "rm -rf ./*", "echo no", "sync", "wait"],
        );
        check("cat a | grep b |& tee c", &["cat a", "grep b", "tee c"]);
        check("a\nb\r\nc", &["a", "b", "c"]);
        check("(cd /x; ls)", &["cd /x", "ls"]);
        check("{ cd /x; ls; }", &["cd /x", "ls"]);
        check("if true; then rm -rf /x; fi", &["true", "rm -rf /x"]);
        check("while true; do sleep 1; done", &["true", "sleep 1"]);
        check("! grep x y", &["grep x y"]);
        check("f() { rm -rf /; }; f", &["rm -rf /", "f"]);
        check("rm -rf / # clean", &["rm -rf /"]);
        check("echo a#b", &["echo a#b"]);
        check("a \\\n  b", &["a b"]);
    }

    #[test]
    fn what_a_database_ran_is_sql() {
        assert_eq!(statements("SET pgaudit.log = 'none'; reset log_statement").len(), 2);
        assert!(statements("SET pgaudit.log = 'none'")[0].starts_with("sql: SET pgaudit.log = "));
        assert!(statements("").is_empty());
    }

    #[test]
    fn quotes_and_escapes_are_read() {
        check(r#"rm "-rf" '/da ta'"#, &["rm -rf /da ta"]);
        check(r"\rm -r\f /", &["rm -rf /"]);
        check(r#"'r'm -"rf" /"#, &["rm -rf /"]);
        check(r#"echo "a;b && c""#, &["echo a;b && c"]);
        check(r#"echo "say \"hi\"""#, &[r#"echo say "hi""#]);
        check(r"rm $'\x2drf' $'\057'", &["rm -rf /"]);
        check("rm${IFS}-rf$IFS/", &["rm -rf /"]);
        check("echo 'unterminated", &["echo unterminated"]);
        check("echo \"unterminated", &["echo unterminated"]);
        check("echo a\\", &["echo a"]);
    }

    #[test]
    fn substitutions_are_further_commands() {
        check("echo $(rm -rf /)", &["echo $(rm -rf /)", "rm -rf /"]);
        check("echo `id -u`", &["echo `id -u`", "id -u"]);
        check(
            "echo \"$(cat /etc/shadow)\"",
            &["echo $(cat /etc/shadow)", "cat /etc/shadow"],
        );
        check("echo '$(cat /etc/shadow)'", &["echo $(cat /etc/shadow)"]);
        check("x=$(curl evil)", &["x=$(curl evil)", "curl evil"]);
        check("a $(b $(c))", &["a $(b $(c))", "b $(c)", "c"]);
        check("diff <(ls a) <(ls b)", &["diff <(ls a) <(ls b)", "ls a", "ls b"]);
        check("sleep $(( 1 * 60 )); ls", &["sleep $(( 1 * 60 ))", "ls"]);
    }

    #[test]
    fn redirections_trail() {
        check(
            "echo \"never run rm -rf / here\" >> /root/README",
            &["echo never run rm -rf / here >> /root/README"],
        );
        check("> /var/log/wtmp", &["> /var/log/wtmp"]);
        check("cat x >/etc/passwd -n", &["cat x -n > /etc/passwd"]);
        check("make 2>&1 >out | tail", &["make > out", "tail"]);
        check("make &> out", &["make > out"]);
        check("make 2>> 'o k'", &["make >> o k"]);
        check("sort < in > out", &["sort < in > out"]);
        check("sudo sh -c 'id' > /root/x", &["id > /root/x"]);
        check(
            "cat > /etc/cron.d/x << EOF\n* * * * * root rm -rf /\nEOF\nls",
            &["cat > /etc/cron.d/x", "ls"],
        );
        check("cat <<-'E O'\n\ta\n\tE O\nls", &["cat", "ls"]);
        check("bash <<EOF\nrm -rf /\nEOF\nls", &["bash", "rm -rf /", "ls"]);
        check("bash <<< 'rm -rf /'", &["bash", "rm -rf /"]);
    }

    #[test]
    fn wrappers_are_unwrapped() {
        for wrapper in [
            "sudo",
            "sudo -u root",
            "sudo -nu root -g wheel --",
            "sudo --user=root -E A=b",
            "doas -u root",
            "env",
            "env -i -u X A=1 B=2",
            "A=1 B=2",
            "nohup",
            "setsid -f",
            "time -p",
            "nice -n 10",
            "nice -10",
            "nice",
            "ionice -c 2 -n 7",
            "timeout 10",
            "timeout -k 5 -s KILL 10s",
            "stdbuf -oL -e 0",
            "xargs",
            "xargs -0 -n 1",
            "xargs -I {}",
            "command",
            "exec",
            "exec -a x",
            "sudo nohup nice env X=1 /usr/bin/timeout 3",
            "busybox",
            "chroot /mnt",
            "flock /tmp/l",
            "builtin",
            "unshare -n",
            "setsid",
            "/usr/bin/sudo -i",
        ] {
            check(&format!("{wrapper} /bin/rm -rf '/data'"), &["rm -rf /data"]);
        }
        for shell in [
            "sh -c",
            "bash -lc",
            "/bin/zsh -x -c",
            "bash -o pipefail -c",
            "sudo bash -c",
            "su - postgres -c",
            "su -c",
            "su root --command",
            "runuser -u x -- sh -c",
            "eval",
            "env -S",
            "watch -n 1",
            "script -q -c",
            "flock /l -c",
        ] {
            check(&format!("{shell} 'cd /x; rm -rf y'"), &["cd /x", "rm -rf y"]);
        }
        check("su --command='id -u' bob", &["id -u"]);
        // sudo before 1.9 logs arguments without quotes.
        check("/bin/sh -c rm -rf /x", &["rm -rf /x"]);
        check("sh -c 'rm -rf $1' x /data", &["rm -rf $1"]);
    }

    #[test]
    fn a_wrapper_of_nothing_is_itself() {
        check("sudo -i", &["sudo -i"]);
        check("sudo su -", &["su -"]);
        check("sudo -e /etc/sudoers", &["sudoedit /etc/sudoers"]);
        check("env", &["env"]);
        check("nohup", &["nohup"]);
        check("bash", &["bash"]);
        check("bash -x /tmp/a.sh", &["bash -x /tmp/a.sh"]);
        check("command -v gcc", &["command -v gcc"]);
        check("HISTFILE=/dev/null", &["HISTFILE=/dev/null"]);
        check("export HISTSIZE=0", &["export HISTSIZE=0"]);
        check("echo cm0gLXJm | base64 -d | sh", &["echo cm0gLXJm", "base64 -d", "sh"]);
    }

    #[test]
    fn what_runs_elsewhere_is_kept_and_followed() {
        check(
            "ssh -p 22 root@db 'rm -rf /data; ls'",
            &["ssh -p 22 root@db rm -rf /data; ls", "rm -rf /data", "ls"],
        );
        check("ssh db", &["ssh db"]);
        check(
            "kubectl exec -it -n p pod -- sh -c 'cat /etc/shadow'",
            &["kubectl exec -it -n p pod -- sh -c cat /etc/shadow", "cat /etc/shadow"],
        );
        check("kubectl get pods -- x", &["kubectl get pods -- x"]);
        check(
            "docker exec -u root -it c1 rm -rf /",
            &["docker exec -u root -it c1 rm -rf /", "rm -rf /"],
        );
        check(
            "find / -name x -exec rm -rf {} \\;",
            &["find / -name x -exec rm -rf {} ;", "rm -rf /"],
        );
        check("find -type f -exec rm {} +", &["find -type f -exec rm {} +", "rm {}"]);
        check(
            "echo 'drop table x' | psql shop",
            &["echo drop table x", "psql shop", "sql: drop table x"],
        );
        check(
            "echo -n 'rm -rf /' | sudo bash",
            &["echo -n rm -rf /", "bash", "rm -rf /"],
        );
        check("echo 'rm -rf /' || bash", &["echo rm -rf /", "bash"]);
        check("echo 'rm -rf /'; cat x | bash", &["echo rm -rf /", "cat x", "bash"]);
        check("echo 'rm -rf /' |& sh", &["echo rm -rf /", "sh", "rm -rf /"]);
        check(
            "find / -execdir sh -c 'id' + -ok ls \\;",
            &["find / -execdir sh -c id + -ok ls ;", "id", "ls"],
        );
    }

    #[test]
    fn windows_is_read_as_it_is_typed() {
        check(r"C:\Windows\System32\net.exe stop eventlog", &["net stop eventlog"]);
        check(r#""C:\Program Files\x\y.EXE" -a D:\data"#, &[r"y -a D:\data"]);
        check(
            r"reg add HKLM\Software\x /v a /d 1",
            &[r"reg add HKLM\Software\x /v a /d 1"],
        );
        check(r"type %TEMP%\x $env:TEMP\y .\z", &[r"type %TEMP%\x $env:TEMP\y .\z"]);
        check(r"net use \\srv\c$ /user:a", &[r"net use \srv\c$ /user:a"]);
        check("cmd /c del /s x & dir", &["del /s x", "dir"]);
        check(
            r#"cmd.exe /q /C "net stop a && net stop b""#,
            &["net stop a", "net stop b"],
        );
        check(
            "powershell -nop -ep bypass -c \"Stop-Service a; gci\"",
            &["Stop-Service a", "gci"],
        );
        check("powershell.exe Stop-Computer -Force", &["Stop-Computer -Force"]);
        check("powershell -File x.ps1", &["powershell -File x.ps1"]);
        // `Stop-Computer`, in Base64 of UTF-16.
        let encoded = "UwB0AG8AcAAtAEMAbwBtAHAAdQB0AGUAcgA=";
        check(&format!("pwsh -NoProfile -enc {encoded}"), &["Stop-Computer"]);
        check("powershell -enc !", &["powershell -enc !"]);
        check("cmd", &["cmd"]);
        assert_eq!(windows_commands(r"findstr a\b c\d"), [r"findstr a\b c\d"]);
        assert_eq!(windows_commands(r#""C:\Program Files\a b.exe" /s"#), ["a b /s"]);
        check("/opt/a.exe", &["a"]);
        check(".exe", &[".exe"]);
    }

    #[test]
    fn the_shell_of_mongodb_is_read_as_statements() {
        check("db.orders.deleteMany({})", &["sql: db.orders.deleteMany({})"]);
        check("db.dropDatabase()", &["sql: db.dropDatabase()"]);
        check("db.sh x", &["db.sh x"]);
        check(
            "uninstall plugin validate_password",
            &["sql: uninstall plugin validate_password"],
        );
        check("install -m 600 a /etc/b", &["install -m 600 a /etc/b"]);
    }

    #[test]
    fn sql_is_given_by_statement() {
        check(
            "psql -h db -c 'DROP TABLE x; select 1'",
            &[
                "psql -h db -c DROP TABLE x; select 1",
                "sql: DROP TABLE x",
                "sql: select 1",
            ],
        );
        check(
            "mysql -uroot -e \"delete from t where a=';' -- all\"",
            &[
                "mysql -uroot -e delete from t where a=';' -- all",
                "sql: delete from t where a=';'",
            ],
        );
        check(
            "mysql --execute='DROP/**/DATABASE  a'",
            &["mysql --execute=DROP/**/DATABASE  a", "sql: DROP DATABASE a"],
        );
        check(
            "sudo -u postgres psql --command 'TRUNCATE t'",
            &["psql --command TRUNCATE t", "sql: TRUNCATE t"],
        );
        check(
            "mongosh --eval 'db.dropDatabase()'",
            &["mongosh --eval db.dropDatabase()", "sql: db.dropDatabase()"],
        );
        check("mysql db <<E\ndrop table a;\nE", &["mysql db", "sql: drop table a"]);
        check(
            "mysql -uoracle -pace -sNe 'drop table a' db",
            &["mysql -uoracle -pace -sNe drop table a db", "sql: drop table a"],
        );
        check("DROP TABLE customer;", &["sql: DROP TABLE customer"]);
        check(
            "select *\n  from t; /* a;b */ delete from t",
            &["sql: select * from t", "sql: delete from t"],
        );
        check("/*x*/ update t set a=1", &["sql: update t set a=1"]);
        check("/*!50000 DROP TABLE t */", &["sql: DROP TABLE t"]);
        check(
            "SELECT $$a;b$$; SELECT \"c;d\"",
            &["sql: SELECT $$a;b$$", "sql: SELECT \"c;d\""],
        );
        check("truncate -s 0 /var/log/x", &["truncate -s 0 /var/log/x"]);
        check("update-alternatives --all", &["update-alternatives --all"]);
        check("set -e", &["set -e"]);
        check("create.sh table", &["create.sh table"]);
    }

    #[test]
    fn text_of_echo_and_grep_stays_text() {
        check("grep -r 'rm -rf /' /src", &["grep -r rm -rf / /src"]);
        check("printf 'drop table x; select 1'", &["printf drop table x; select 1"]);
        check("echo sudo rm -rf /", &["echo sudo rm -rf /"]);
        check("history | grep 'DROP TABLE'", &["history", "grep DROP TABLE"]);
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(simple_commands(&"a;".repeat(1000)).len(), COMMANDS_MAX);
        let _ = simple_commands(&"$(".repeat(100_000));
        let _ = simple_commands(&"`".repeat(100_000));
        let _ = simple_commands(&"sudo ".repeat(100_000));
        // Each of the first ones would hold the rest of 64 KiB.
        let nested = simple_commands(&"ssh h ".repeat(10_000));
        let bytes: usize = nested.iter().map(String::len).sum();
        assert!(
            nested.len() > 2 && bytes <= OUT_BYTES_MAX,
            "{} commands of {bytes} bytes",
            nested.len()
        );
        let _ = simple_commands(&"find -exec ".repeat(20_000));
        let _ = simple_commands(&"ssh h ".repeat(20_000));
        let _ = simple_commands(&"a <<E\n".repeat(20_000));
        let _ = simple_commands(&"select $a$".repeat(20_000));
        let _ = simple_commands(&"审".repeat(100_000));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = simple_commands(&text);
        }

        #[test]
        fn no_shell_like_text_panics(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "sudo ", "sh -c ", "'", "\"", "$(", ")", "`", ";", "|", "&&", "\n", "<<E", "E", ">", ">>", "<", "\\",
                    "find ", "-exec ", "ssh ", "h ", "psql ", "-c ", "$'", "\\x2", "${IFS}", "#", "審", "-- ", "/*", "*/",
                    "kubectl exec ", "xargs ", "-I", "env -S ", "su ", "--", "(", "{", "}", "select ", "$$", "$a$", " ",
                ]),
                0..40,
            )
        ) {
            let found = simple_commands(&parts.concat());
            prop_assert!(found.len() <= COMMANDS_MAX);
            prop_assert!(found.iter().all(|c| !c.trim().is_empty() && !c.contains('\n')));
        }
    }
}
