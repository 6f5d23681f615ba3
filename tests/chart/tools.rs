//! Tools that read standard input, as the tests of the chart and end to end run them.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use control_plane::Tool;

/// Runs a tool on this input.
pub fn ask(tool: Tool, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(tool.locate().unwrap());
    command.args(args).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // In a thread, because it answers before it has read everything.
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input.as_bytes()).unwrap());
        child.wait_with_output().unwrap()
    })
}
