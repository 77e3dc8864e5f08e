//! Results of a unit between its commit and its high-water mark, so that what was recorded is signed while the mark is synced.
//! In: units. Out: their results after the commit, each with its mark to wait for.
//! Implements DESIGN §7 (the mark is written beside the signing; answers wait for both).
//! Never gives a result out of its wrapping before the mark.

use tokio::sync::oneshot;

use super::unit::Unit;
use super::writer::{NEW_WORK, Work};
use super::{Store, StoreError};

/// What a unit gave. Its entries are committed, and may not be under the mark yet.
#[derive(Debug)]
pub struct Unmarked<T> {
    value: T,
    marked: oneshot::Receiver<()>,
}

impl<T> Unmarked<T> {
    /// What is recorded, to be signed; nobody may be told of it.
    pub const fn recorded(&self) -> &T {
        &self.value
    }

    /// Waits for the mark.
    ///
    /// # Errors
    /// `Stopped` where the mark could not be written: then the process ends, and nobody is answered.
    pub async fn marked(self) -> Result<T, StoreError> {
        self.marked.await.map_err(|_| StoreError::Stopped)?;
        Ok(self.value)
    }
}

type Answer<T, E> = oneshot::Sender<Result<T, E>>;

/// A unit whose result is given out at its commit.
struct Early<F, T, E> {
    act: Option<F>,
    result: Option<Result<T, E>>,
    answer: Option<Answer<T, E>>,
    marked: oneshot::Sender<()>,
}

impl<F, T, E> Early<F, T, E> {
    fn give(&mut self) {
        if let (Some(answer), Some(result)) = (self.answer.take(), self.result.take()) {
            // Whoever waited may have left; the work is done all the same.
            let _ = answer.send(result);
        }
    }
}

impl<F, T, E> Work for Early<F, T, E>
where
    F: FnOnce(&mut Unit<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, unit: &mut Unit<'_>) -> bool {
        self.result = self.act.take().map(|act| act(unit));
        matches!(self.result, Some(Ok(_)))
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Some(Err(error.into()));
    }

    fn committed(&mut self) {
        if matches!(self.result, Some(Ok(_))) {
            self.give();
        }
    }

    fn reply(mut self: Box<Self>) {
        // What failed after its commit was given already, and its mark never comes.
        if self.answer.is_none() && self.result.is_some() {
            return;
        }
        self.give();
        let _ = self.marked.send(());
    }
}

impl Store {
    /// As `write`; the future gives the result once it is committed, wrapped until it is under the mark too.
    ///
    /// # Errors
    /// As `write`.
    pub fn write_unmarked<T, E, F>(&self, act: F) -> impl Future<Output = Result<Unmarked<T>, E>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Unit<'_>) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let (mark, marked) = oneshot::channel();
        let unit = Early { act: Some(act), result: None, answer: Some(answer), marked: mark };
        let queued = self.queue(Box::new(unit));
        async move {
            queued.map_err(E::from)?;
            let value = answered.await.unwrap_or_else(|_| Err(E::from(StoreError::Stopped)))?;
            Ok(Unmarked { value, marked })
        }
    }

    /// The same for work that may be refused, as `write_new`.
    ///
    /// # Errors
    /// As `write_new`.
    pub fn write_new_unmarked<T, E, F>(
        &self,
        act: F,
    ) -> impl Future<Output = Result<Unmarked<T>, E>> + Send + use<T, E, F>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Unit<'_>) -> Result<T, E> + Send + 'static,
    {
        let full = self.0.progress.waiting() >= NEW_WORK;
        let written = (!full).then(|| self.write_unmarked(act));
        async move {
            match written {
                Some(written) => written.await,
                None => Err(E::from(StoreError::Full)),
            }
        }
    }
}
