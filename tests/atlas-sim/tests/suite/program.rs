//! The program: its first line, its projects, and when it ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use atlas_sim::Api;
use diqwest::WithDigestAuth;

use crate::client::{Client, fresh};

/// Starts the program and reads its address. The child is killed if a test fails.
struct Program(Child);

impl Program {
    fn start(arguments: &[&str]) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atlas-sim"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url =
            line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        (Self(child), url)
    }

    /// The exit code, if the program ends soon.
    fn ends(&mut self) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn it_serves_the_projects_it_was_given_until_stdin_closes() {
    let id = "5d791c84ff7a2522cc4f9aa1";
    let (first, second) =
        (format!("{id}:public:pri:vate"), "5d791c84ff7a2522cc4f9aa2:public:other".to_owned());
    let (mut program, url) =
        Program::start(&["--project", &first, "--project", &second, "--exit-with-stdin"]);
    let client = Client { root: url, id: id.to_owned(), ..Client::new(&fresh().0, Api::V2) };
    let request = client.request(reqwest::Method::GET, "", None);
    assert_eq!(request.send_digest_auth(("public", "pri:vate")).await.unwrap().status(), 200);
    assert_eq!(program.0.try_wait().unwrap(), None, "it waits");
    drop(program.0.stdin.take());
    assert_eq!(program.ends(), Some(0));
}

#[test]
fn it_ends_on_sigterm_and_not_with_stdin_unless_told() {
    let (mut program, _) = Program::start(&["--listen", "127.0.0.1:0"]);
    drop(program.0.stdin.take());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(program.0.try_wait().unwrap(), None);
    let killed = Command::new("kill").args(["-TERM", &program.0.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(program.ends(), Some(0));
}

#[test]
fn it_refuses_bad_arguments() {
    for (arguments, wanted) in [
        (["--listen", "0.0.0.0:0"], "not a loopback address"),
        (["--project", "only-an-id"], "expected ID:PUBLIC:PRIVATE"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_atlas-sim")).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(wanted), "{text}");
        assert!(output.stdout.is_empty());
    }
}
