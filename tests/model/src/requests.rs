//! What the model's operators ask of the API server and of Atlas, in order, for those who listen.

use std::cell::RefCell;

use crate::state::{Call, Object, State};

/// A request that changes something, or may.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// An object was written at the API server.
    Write {
        /// The object's place in [`State::objects`].
        slot: usize,
        /// What it was before.
        before: Object,
    },
    /// A call has left for Atlas.
    Call(Call),
}

thread_local! {
    static HEARD: RefCell<Option<Vec<(Request, State)>>> = const { RefCell::new(None) };
}

/// Notes a request, and the world right after the write, or before the call, while this thread listens.
pub(crate) fn note(state: &State, request: Request) {
    HEARD.with_borrow_mut(|heard| {
        if let Some(heard) = heard {
            heard.push((request, *state));
        }
    });
}

/// What this thread's operators ask for while `act` runs.
pub fn listen<T>(act: impl FnOnce() -> T) -> (T, Vec<(Request, State)>) {
    HEARD.set(Some(Vec::new()));
    let result = act();
    (result, HEARD.take().unwrap_or_default())
}
