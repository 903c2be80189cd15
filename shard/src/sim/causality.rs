//! One rule by itself: who knows of a subscription can count on it, on every shard, with nobody
//! waiting for anybody. Three shards run in every order a seed can think of, one step at a time, on
//! lanes so small that they are full most of the time.

use fastrand::Rng;

use crate::limits::Limits;
use crate::mesh::Capacity;

use super::world::{Plan, World};

/// More steps than any story takes.
const STEPS_MAX: usize = 20_000;

/// Noise that takes the only slot of a lane in every turn would keep others out for ever: it ends.
const NOISY_STEPS: usize = 500;

const CONNECT: &str = "CONNECT {\"verbose\":false}\r\n";

/// A world, somebody on each shard who reads all the time, and somebody who makes noise.
struct Story {
    world: World,
    /// What each socket was told so far.
    heard: Vec<String>,
    noise: usize,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let capacity = Capacity { control_frames: 1 << rng.u8(..3), lane_bytes: rng.usize(1..300) };
        let plan = Plan {
            shards: 3,
            capacity,
            limits: Limits::default(),
            rules: Vec::new(),
            sealed: false,
        };
        let mut world = World::new(rng.u64(..), &plan);
        let shards = [0, 1, 2, rng.usize(..3)];
        let sockets = shards.map(|shard| world.connect(shard, 1 << 20));
        for socket in sockets {
            world.sockets[socket].send(CONNECT.as_bytes());
        }
        Self { world, heard: vec![String::new(); sockets.len()], noise: sockets[3] }
    }

    fn say(&mut self, socket: usize, text: &str) {
        self.world.sockets[socket].send(text.as_bytes());
    }

    /// Somebody does one small thing.
    fn step(&mut self, noisy: bool) {
        if noisy && self.world.rng.u8(..8) == 0 {
            let number = self.world.rng.u8(..4);
            let noise = match self.world.rng.u8(..3) {
                0 => format!("SUB noise.{number} {number}\r\n"),
                1 => format!("UNSUB {number}\r\n"),
                _ => format!("PUB noise.{number} 3\r\nabc\r\n"),
            };
            self.say(self.noise, &noise);
        }
        let shard = self.world.rng.usize(..3);
        self.world.step(shard);
        let socket = self.world.rng.usize(..self.heard.len());
        let text = self.world.sockets[socket].read(usize::MAX);
        self.heard[socket].push_str(&String::from_utf8(text).expect("the server says text"));
    }

    /// Until somebody was told something.
    fn until(&mut self, socket: usize, text: &str) {
        for step in 0..STEPS_MAX {
            if self.heard[socket].contains(text) {
                return;
            }
            self.step(step < NOISY_STEPS);
        }
        panic!("client {socket} never heard {text}, but {}", self.heard[socket]);
    }
}

/// How many orders each story is told in.
const SEEDS: u64 = 300;

#[test]
fn who_was_told_of_a_subscription_can_publish_to_it() {
    for seed in 0..SEEDS {
        let mut story = Story::new(seed);
        story.until(1, "INFO");
        story.say(0, "SUB subject sid\r\nPING\r\n");
        story.until(0, "PONG");
        // The first tells the second, who publishes.
        story.say(1, "PUB subject 2\r\nhi\r\n");
        story.until(0, "MSG subject sid 2\r\nhi\r\n");
    }
}

#[test]
fn word_travels_over_the_server_itself() {
    for seed in 0..SEEDS {
        let mut story = Story::new(seed);
        story.say(2, "SUB news 1\r\nPING\r\n");
        story.until(2, "PONG");
        story.say(0, "SUB subject sid\r\nPUB news 2\r\ngo\r\n");
        story.until(2, "MSG news 1 2");
        story.say(1, "PUB subject 3\r\nhi1\r\n");
        story.say(2, "PUB subject 3\r\nhi2\r\n");
        story.until(0, "hi1");
        story.until(0, "hi2");
    }
}

#[test]
fn the_answer_to_a_request_finds_the_fresh_inbox() {
    for seed in 0..SEEDS {
        let mut story = Story::new(seed);
        story.say(2, "SUB service q 1\r\nPING\r\n");
        story.until(2, "PONG");
        for number in 0..3 {
            let inbox = format!("inbox.{number}");
            story.say(0, &format!("SUB {inbox} {number}\r\nPUB service {inbox} 0\r\n\r\n"));
            story.until(2, &format!("MSG service 1 {inbox} 0\r\n"));
            story.say(2, &format!("PUB {inbox} 2\r\nok\r\n"));
            story.until(0, &format!("MSG {inbox} {number} 2\r\nok\r\n"));
        }
    }
}

#[test]
fn who_was_told_of_an_end_reaches_nobody() {
    for seed in 0..SEEDS {
        let mut story = Story::new(seed);
        story.say(0, "SUB subject q first\r\nPING\r\n");
        story.until(0, "PONG");
        story.say(2, "SUB subject q second\r\nPING\r\n");
        story.until(2, "PONG");
        story.heard[0].clear();
        story.say(0, "UNSUB first\r\nPING\r\n");
        story.until(0, "PONG");
        // Every message is for the second member now.
        for number in 0..5 {
            story.say(1, &format!("PUB subject 1\r\n{number}\r\n"));
            story.until(2, &format!("MSG subject second 1\r\n{number}\r\n"));
        }
    }
}
