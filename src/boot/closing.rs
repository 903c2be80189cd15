//! A stand-in for the data plane: the process around it, alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ringbus_shard::io::{Control, Inspector, Stuck};

use crate::data_plane::{DataPlane, Running, StartError, StartOptions, Terms};

/// Accepts every connection and closes it at once: the process around the data plane, alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Closing;

/// The thread of [`Closing`].
struct ClosingRuns {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl DataPlane for Closing {
    fn start(&self, options: StartOptions) -> Result<Box<dyn Running>, StartError> {
        let failed = |error: std::io::Error| StartError(error.to_string());
        let listener = options.listener;
        listener.set_nonblocking(true).map_err(failed)?;
        let ends = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ends);
        let thread = std::thread::Builder::new()
            .name("closing".to_owned())
            .spawn(move || {
                while !seen.load(Ordering::Acquire) {
                    if listener.accept().is_err() {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            })
            .map_err(failed)?;
        Ok(Box::new(ClosingRuns { ends, thread }))
    }
}

impl Running for ClosingRuns {
    fn inspector(&self) -> Inspector {
        Inspector::default()
    }

    fn control(&self) -> Option<Control> {
        None
    }

    fn slowest_turn(&self) -> Duration {
        Duration::ZERO
    }

    fn reload(&self, _terms: Terms) -> Result<usize, Stuck> {
        Ok(0)
    }

    fn lame_duck(&mut self) {}

    fn shed(&mut self, _count: usize) {}

    fn connections(&self) -> usize {
        0
    }

    fn stop(self: Box<Self>, _grace: Duration) {
        self.ends.store(true, Ordering::Release);
        // A panic of that thread was already printed; there is nothing else to end.
        let _ = self.thread.join();
    }
}
