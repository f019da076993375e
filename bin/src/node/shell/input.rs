//! Where commands come from: a terminal with history and completion, or a pipe. A thread of its own either way.

use std::borrow::Cow;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::thread;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Context, Editor, ExternalPrinter, Helper, Highlighter, Hinter, Validator};
use tokio::sync::{mpsc, oneshot};

use super::command::COMMANDS;
use crate::output::Output;

/// What a person sees before the cursor.
const PROMPT: &str = "sta> ";
/// Lines of history that are kept.
const HISTORY_LINES: usize = 1_000;

/// A line of input. The next one is read once `go_on` is sent; none if it is sent as false, or dropped.
#[derive(Debug)]
pub(super) struct Line {
    /// What was typed.
    pub(super) text: String,
    /// Says that the line has been dealt with, and whether there should be more.
    pub(super) go_on: oneshot::Sender<bool>,
}

/// Why there are no more lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Ctrl-D, or the end of a file or a pipe.
    EndOfInput,
    /// Ctrl-C at the prompt.
    Interrupted,
}

/// The lines, in order, and then why there are no more.
pub(super) type Lines = mpsc::Receiver<Result<Line, End>>;

/// Whether a person types the commands.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Starts reading. The channel is closed once nothing is read any more.
pub(super) fn start(output: &Output) -> Lines {
    let (sender, lines) = mpsc::channel(1);
    let output = output.clone();
    thread::spawn(move || {
        let end = if is_terminal() { from_terminal(&sender, &output) } else { from_pipe(&sender) };
        // Nobody listens any more if the node has stopped: fine.
        let _ = sender.blocking_send(Err(end));
    });
    lines
}

/// How the terminal was before lines were edited on it. Put back when it is dropped: a line may be half typed then.
pub(super) struct Terminal(Option<Termios>);

impl Terminal {
    /// Remembers the terminal, if there is one.
    pub(super) fn remember() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // It may have been closed.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn from_pipe(sender: &mpsc::Sender<Result<Line, End>>) -> End {
    for line in io::stdin().lock().split(b'\n') {
        match line {
            Ok(bytes) => {
                // What is no text is no command either: the node says so, and goes on.
                let text = String::from_utf8_lossy(&bytes);
                if !hand_over(sender, text.trim_end_matches('\r').to_owned()) {
                    return End::EndOfInput;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read commands");
                return End::EndOfInput;
            }
        }
    }
    End::EndOfInput
}

/// Gives a line to the node, and waits until it has been dealt with. False if there should be no more.
fn hand_over(sender: &mpsc::Sender<Result<Line, End>>, text: String) -> bool {
    let (go_on, dealt_with) = oneshot::channel();
    sender.blocking_send(Ok(Line { text, go_on })).is_ok() && dealt_with.blocking_recv() == Ok(true)
}

fn from_terminal(sender: &mpsc::Sender<Result<Line, End>>, output: &Output) -> End {
    let config = Config::builder().auto_add_history(true).max_history_size(HISTORY_LINES);
    let editor = config.and_then(|config| Editor::with_config(config.build()));
    let mut editor: Editor<Completion, FileHistory> = match editor {
        Ok(editor) => editor,
        Err(error) => {
            tracing::warn!(%error, "no line editing on this terminal");
            return from_pipe(sender);
        }
    };
    editor.set_helper(Some(Completion { files: FilenameCompleter::new() }));
    if let Ok(mut printer) = editor.create_external_printer() {
        // Without a terminal that takes it there is nobody to tell.
        output.print_through(move |text| _ = printer.print(text));
    }
    let history = history_file();
    if let Some(path) = &history {
        // There is none the first time.
        let _ = editor.load_history(path);
    }
    let end = loop {
        match editor.readline(PROMPT) {
            Ok(text) => {
                if !hand_over(sender, text) {
                    break End::EndOfInput;
                }
            }
            Err(ReadlineError::Eof) => break End::EndOfInput,
            Err(ReadlineError::Interrupted) => break End::Interrupted,
            Err(error) => {
                tracing::warn!(%error, "cannot read commands");
                break End::EndOfInput;
            }
        }
    };
    if let Some(path) = &history {
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = folder.map_err(Into::into).and_then(|()| editor.save_history(path)) {
            tracing::info!(%error, path = %path.display(), "the history is not kept");
        }
    }
    end
}

/// `sta/history` in the user's directory for state, by the XDG convention.
fn history_file() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = var("XDG_STATE_HOME").or_else(|| Some(var("HOME")?.join(".local/state")))?;
    Some(state.join("sta").join("history"))
}

/// Completes commands, and names of files behind them.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Completion {
    files: FilenameCompleter,
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        ctx: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = &line[..pos];
        if typed.contains(char::is_whitespace) {
            return self.files.complete(line, pos, ctx);
        }
        let upper = Cow::from(typed.to_uppercase());
        let fits = COMMANDS.iter().filter(|(name, ..)| name.starts_with(upper.as_ref()));
        let pair = |(name, wants, _): &(&str, &str, &str)| Pair {
            display: (*name).to_owned(),
            replacement: if wants.is_empty() { (*name).to_owned() } else { format!("{name} ") },
        };
        Ok((0, fits.map(pair).collect()))
    }
}
