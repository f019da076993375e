//! Notices panics in a world's hosts. tokio swallows a panic of a spawned task; a run must fail by it.
//!
//! One hook for the process, installed once; it looks at the thread that panics, so worlds may run on many threads.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use tokio::runtime::{Handle, Id};

/// A panic.
#[derive(Clone, Debug)]
pub struct Panic {
    /// The runtime in which it happened: which host.
    pub runtime: Option<Id>,
    /// The message and the place.
    pub what: String,
}

thread_local! {
    /// `Some` while this thread is watched.
    static SEEN: RefCell<Option<Vec<Panic>>> = const { RefCell::new(None) };
}

/// Does `f`. Panics in it, its own included, are not printed; the first is returned. The result is missing if `f` itself
/// panicked.
pub fn watch<R>(f: impl FnOnce() -> R) -> (Option<R>, Option<Panic>) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !keep(info) {
                previous(info);
            }
        }));
    });
    SEEN.with_borrow_mut(|seen| *seen = Some(Vec::new()));
    let result = catch_unwind(AssertUnwindSafe(f));
    let seen = SEEN.with_borrow_mut(Option::take);
    (result.ok(), seen.into_iter().flatten().next())
}

/// Whether something has panicked on this thread since it is watched.
#[must_use]
pub fn seen() -> bool {
    SEEN.with_borrow(|seen| seen.as_ref().is_some_and(|seen| !seen.is_empty()))
}

/// Keeps the panic if its thread is watched.
fn keep(info: &PanicHookInfo<'_>) -> bool {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = info.location().map_or_else(String::new, |at| format!(" at {at}"));
    let what = format!("{}{place}", text.unwrap_or("no message"));
    let runtime = Handle::try_current().ok().map(|handle| handle.id());
    SEEN.with(|seen| match seen.try_borrow_mut() {
        Ok(mut seen) => seen.as_mut().map(|seen| seen.push(Panic { runtime, what })).is_some(),
        Err(_) => false,
    })
}
