//! Two instances of the demo that share their visitors, and the one address they are behind.

use super::http::Visitor;
use super::round_robin::RoundRobin;
use super::{Demo, program};

pub(crate) struct House {
    pub(crate) demos: [Demo; 2],
    front: RoundRobin,
}

impl House {
    /// What both were told to take as the admin's token.
    pub(crate) const TOKEN: &'static str = "a-token-that-both-instances-know";

    /// Both on the store with this URL.
    pub(crate) fn on(store: &str) -> Self {
        let start = || {
            let mut command = program();
            command.env("CLOAKROOM_ADMIN_TOKEN", Self::TOKEN);
            let mut demo = Demo::start(command.args(["--listen", "127.0.0.1:0", "--store", store]));
            assert!(!demo.token.contains(Self::TOKEN), "a token that was given is not written");
            demo.token = Self::TOKEN.to_owned();
            demo
        };
        let demos = [start(), start()];
        let front = RoundRobin::over(&[demos[0].address(), demos[1].address()]);
        House { demos, front }
    }

    /// `HOST:PORT` of both.
    pub(crate) fn address(&self) -> &str {
        self.front.address()
    }

    /// A visitor who knows the one address only.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::of(self.address())
    }

    /// What each of them says.
    pub(crate) fn each<T>(&self, ask: impl Fn(&Demo) -> T) -> [T; 2] {
        self.demos.each_ref().map(ask)
    }

    /// The same visitor, once at each instance's own address.
    pub(crate) fn at_each(&self, visitor: &Visitor) -> [Visitor; 2] {
        self.each(|demo| visitor.at(demo.address()))
    }
}
