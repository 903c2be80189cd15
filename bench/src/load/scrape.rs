//! Questions to the monitoring port, as a collector of metrics and a person with a dashboard ask
//! them together: several pages, one after the other, each over a connection of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::beside::Noted;
use super::latency::nanos;
use super::{Phase, Steering};
use crate::check::CheckFailure;

/// Pages that every NATS server has; the second and third grow with the number of clients.
const PAGES: [&str; 4] = ["/varz", "/connz?subs=1", "/subsz?subs=1", "/accountz"];
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const ANSWER_LEN_MAX: u64 = 64 * 1_024 * 1_024;

/// Asks at a fixed rate.
#[derive(Debug)]
pub(super) struct Scraper {
    monitor: SocketAddr,
    interval: Duration,
}

impl Scraper {
    pub(super) fn new(monitor: SocketAddr, per_second: u64) -> Self {
        let interval = Duration::from_secs(1) / u32::try_from(per_second.max(1)).unwrap_or(1);
        Self { monitor, interval }
    }

    /// Asks until the run stops. A page that fails ends the run: a figure taken while a page is
    /// refused says nothing.
    pub(super) fn scrape(&self, noted: &Noted, steering: &Steering) -> Result<()> {
        let mut due = Instant::now();
        for page in PAGES.iter().cycle() {
            while steering.phase() < Phase::Stop && Instant::now() < due {
                let left = due.saturating_duration_since(Instant::now());
                thread::sleep(left.min(Duration::from_millis(20)));
            }
            if steering.phase() >= Phase::Stop {
                break;
            }
            let asked = Instant::now();
            get(self.monitor, page)?;
            noted.scrapes.set(noted.scrapes.get() + 1);
            noted.scrape_max_ns.set(noted.scrape_max_ns.get().max(nanos(asked.elapsed())));
            due = (due + self.interval).max(asked);
        }
        Ok(())
    }
}

/// One page, with its head.
pub(crate) fn get(monitor: SocketAddr, page: &str) -> Result<String> {
    let failed = |what: String| CheckFailure(format!("monitoring port, {page}: {what}"));
    let mut stream =
        TcpStream::connect(monitor).map_err(|error| failed(format!("cannot connect: {error}")))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let question = format!("GET {page} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes())?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_LEN_MAX)
        .read_to_end(&mut answer)
        .map_err(|error| failed(format!("cannot read: {error}")))?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(failed(format!("expected 200, saw {status:?}")).into());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers once and says what it was asked.
    fn page_server(answer: &'static str) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1_024];
            let len = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&asked[..len]).into_owned()
        });
        (addr, served)
    }

    #[test]
    fn page_is_read_and_a_refusal_is_a_failure() {
        let (addr, served) = page_server("HTTP/1.1 200 OK\r\n\r\n{}");
        assert!(get(addr, "/varz").unwrap().ends_with("{}"));
        assert!(served.join().unwrap().starts_with("GET /varz HTTP/1.1\r\n"));
        let (addr, served) = page_server("HTTP/1.1 503 No\r\n\r\n");
        let failure = get(addr, "/varz").unwrap_err();
        assert!(failure.is::<CheckFailure>() && failure.to_string().contains("503 No"));
        served.join().unwrap();
    }
}
