//! The scripts that run inside the server.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($file:literal),+;)*) => {$(
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Source> =
            LazyLock::new(|| Source::new(concat!(include_str!("lua/head.lua"), $(include_str!($file)),+)));
    )*};
    (bare: $($(#[$doc:meta])* $name:ident = $file:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) static $name: LazyLock<Source> = LazyLock::new(|| Source::new(include_str!($file)));
    )*};
}

scripts! {
    CREATE = "lua/create.lua";
    COMMIT = "lua/commit.lua";
    ACQUIRE = "lua/acquire.lua";
    RENEW = "lua/renew.lua";
    RELEASE = "lua/release.lua";
    TOUCH = "lua/touch.lua";
    STEP = "lua/entry.lua", "lua/step.lua";
    FOLLOW = "lua/entry.lua", "lua/follow.lua";
    RESERVE = "lua/reserve.lua";
    TIDY = "lua/tidy.lua";
    PLAN = "lua/plan.lua";
}

scripts! {
    bare:
    /// Needs nothing of what the others begin with, and is quicker without.
    REPLACE = "lua/replace.lua";
    /// The same.
    GIVE_UP = "lua/give_up.lua";
    /// The same.
    NOTE = "lua/note.lua";
}

#[cfg(feature = "php")]
scripts! {
    bare:
    /// All under the keys of sessions that PHP has.
    PHP_LOOK = "lua/php_look.lua";
    /// Changes it, if it is still so.
    PHP_APPLY = "lua/php_apply.lua";
}

/// A script, and the name under which a server that has seen it knows it.
pub(crate) struct Source {
    pub(crate) text: String,
    pub(crate) sha: String,
}

impl Source {
    fn new(text: &str) -> Self {
        // Comments explain; they need not travel.
        let text: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let sha = Script::new(&text).get_hash().to_owned();
        Source { text, sha }
    }
}
