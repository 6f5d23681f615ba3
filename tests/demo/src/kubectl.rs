//! Running kubectl before the reader's eyes: the command as a person would type it, then its output as it comes.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use control_plane::ControlPlane;
use serde_json::Value;

use crate::error::Error;
use crate::patience::{POLL, Patience};
use crate::screen::Screen;

/// No command of the demo takes longer, those that wait included.
const LIMIT: Duration = Duration::from_secs(180);

/// kubectl as `admin` of the demo's control plane.
#[derive(Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    folder: PathBuf,
    screen: Screen,
    patience: Patience,
}

/// What a command answered.
struct Answer {
    success: bool,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

/// Which stream a line came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

impl Kubectl {
    /// Runs in `folder`, so that paths in commands are those of the repository.
    pub fn new(plane: &ControlPlane, folder: &Path, screen: Screen, patience: &Patience) -> Kubectl {
        Kubectl {
            program: plane.assets().kubectl(),
            kubeconfig: plane.kubeconfig().to_path_buf(),
            home: plane.dir().to_path_buf(),
            folder: folder.to_path_buf(),
            screen,
            patience: patience.clone(),
        }
    }

    /// Shows a command and its output; it must succeed.
    pub fn show(&self, args: &[&str]) -> Result<(), Error> {
        self.screen.command(&typed(args));
        let answer = self.run(args, |line| self.screen.output(line))?;
        let seen = || Error::Unexpected(format!("`{}` failed, as is said above", typed(args)));
        answer.success.then_some(()).ok_or_else(seen)
    }

    /// Shows a command piped into `filter`, and what `choose` leaves of its output, which must do what `filter`
    /// says.
    pub fn show_part(
        &self,
        args: &[&str],
        filter: &str,
        choose: impl FnOnce(Vec<String>) -> Vec<String>,
    ) -> Result<(), Error> {
        self.screen.command(&format!("{} | {filter}", typed(args)));
        let lines = succeeded(args, self.run(args, |_| {})?)?;
        choose(lines).iter().for_each(|line| self.screen.output(line));
        Ok(())
    }

    /// Shows a command that must be refused, and answers what it said.
    pub fn show_refused(&self, args: &[&str]) -> Result<String, Error> {
        self.screen.command(&typed(args));
        let answer = self.run(args, |line| self.screen.output(line))?;
        if answer.success {
            return Err(Error::Unexpected(format!("`{}` should have been refused", typed(args))));
        }
        Ok(answer.stderr.join("\n"))
    }

    /// What a command prints, without showing it.
    pub fn quiet(&self, args: &[&str]) -> Result<String, Error> {
        Ok(succeeded(args, self.run(args, |_| {})?)?.join("\n"))
    }

    /// An object, or a list of them, as JSON, without showing it.
    pub fn json(&self, args: &[&str]) -> Result<Value, Error> {
        let text = self.quiet(&[args, &["--output", "json"]].concat())?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Unexpected(format!("`{}` answered no JSON: {error}", typed(args))))
    }

    fn run(&self, args: &[&str], mut show: impl FnMut(&str)) -> Result<Answer, Error> {
        let begun = Instant::now();
        let mut spoke = begun;
        let mut child = self.spawn(args)?;
        let lines = lines_of(&mut child);
        let mut answer = Answer { success: false, stdout: Vec::new(), stderr: Vec::new() };
        loop {
            match lines.recv_timeout(POLL) {
                Ok((stream, line)) => {
                    show(&line);
                    spoke = Instant::now();
                    if stream == Stream::Out { &mut answer.stdout } else { &mut answer.stderr }.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let late = || Error::Unexpected(format!("`{}` took too long", typed(args)));
                    let end = self.patience.check().err().or_else(|| (begun.elapsed() > LIMIT).then(late));
                    if let Some(error) = end {
                        let _ = child.kill();
                        let _ = child.wait();
                        return Err(error);
                    }
                    self.patience.sign_of_life("kubectl", begun, &mut spoke);
                }
            }
        }
        answer.success = child.wait().map_err(Error::system("waiting for kubectl"))?.success();
        Ok(answer)
    }

    fn spawn(&self, args: &[&str]) -> Result<Child, Error> {
        let mut command = Command::new(&self.program);
        // The reader's own settings, KUBECONFIG above all, stay out.
        command.args(args).env_clear().env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.home);
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        control_plane::spawn_tied(command).map_err(Error::system("starting kubectl"))
    }
}

/// The lines of both streams in the order of their arrival; ends when both are closed.
fn lines_of(child: &mut Child) -> mpsc::Receiver<(Stream, String)> {
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        forward(Stream::Out, stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        forward(Stream::Err, stderr, sender);
    }
    receiver
}

fn forward(stream: Stream, pipe: impl Read + Send + 'static, sender: Sender<(Stream, String)>) {
    thread::spawn(move || {
        let read = BufReader::new(pipe).lines().map_while(Result::ok);
        read.take_while(|line| sender.send((stream, line.clone())).is_ok()).for_each(drop);
    });
}

fn succeeded(args: &[&str], answer: Answer) -> Result<Vec<String>, Error> {
    if answer.success {
        return Ok(answer.stdout);
    }
    Err(Error::Unexpected(format!("`{}` failed: {}", typed(args), answer.stderr.join("\n"))))
}

/// The command line, quoted where a shell needs it.
fn typed(args: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:".contains(c);
    let quoted = |arg: &&str| {
        if !arg.is_empty() && arg.chars().all(plain) { (*arg).to_owned() } else { format!("'{arg}'") }
    };
    format!("kubectl {}", args.iter().map(quoted).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::typed;

    #[test]
    fn commands_are_quoted_as_for_a_shell() {
        let args = ["patch", "x/y", "--patch", r#"{"spec": {}}"#, "--for=condition=Ready"];
        assert_eq!(typed(&args), r#"kubectl patch x/y --patch '{"spec": {}}' --for=condition=Ready"#);
    }
}
