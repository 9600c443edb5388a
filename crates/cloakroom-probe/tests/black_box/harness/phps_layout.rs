//! The layout of a PHP application, and what it has no way to do.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::servers::Server;
use super::{Place, Probe, run};

const LISTS: &str = "PHP keeps no list of a user's sessions: they are neither listed nor revoked nor counted";
const NUMBERS: &str = "a name that is an integer is refused: PHP drops such variables";
const SHOWN: &str = "who is logged in is a variable like any other, and is shown among them";
const BEYOND: &str =
    "what PHP has none of is refused: integers beyond 64 bits, and in most formats names that are integers";
const IDS: &str = "ids are PHP's: 26 characters, of 32 that there are; or 64 hexadecimal digits";

const LOOKED_UP: &str = "some of what is no id of ours may be one of PHP's, and is looked up";

/// Cases that PHP's layout cannot pass, and why. Every other one must pass there, and each of these must not.
const WITHOUT: &[(&str, &str)] = &[
    ("c2_no_slow_request_survives_a_revocation", LISTS),
    ("s30_whatever_changes_the_session_ends_the_grace", LISTS),
    ("s46_a_user_sees_their_sessions_and_ends_one_the_others_or_all", LISTS),
    ("s46_nobody_ends_a_session_of_somebody_else", LISTS),
    ("s47_a_listing_never_shows_a_dead_session", LISTS),
    ("s48_a_login_over_the_cap_ends_the_oldest", LISTS),
    ("s48_the_cap_holds_under_parallel_logins", LISTS),
    ("every_route_answers_as_in_memory", LISTS),
    ("m03_keys_keep_their_order_of_insertion", NUMBERS),
    ("c13_hostile_keys_and_values_are_clear_errors_or_kept_as_they_are", BEYOND),
    ("c4_nothing_from_before_a_login_is_planted_in_the_authenticated_session", SHOWN),
    ("login_over_another_user_starts_empty_and_over_nobody_keeps_the_data", SHOWN),
    ("s09_a_malformed_cookie_is_no_session_no_error_and_no_store_call", LOOKED_UP),
    ("s03_fresh_ids_are_distinct_of_one_length_and_safe_in_a_cookie", IDS),
    ("s04_the_id_says_nothing_of_its_owner", IDS),
];

/// Which layout, and in which format where it has a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhpsLayout {
    name: &'static str,
    format: Option<&'static str>,
}

impl PhpsLayout {
    pub const PHPREDIS: Self = PhpsLayout { name: "phpredis", format: Some("php") };
    pub const IGBINARY: Self = PhpsLayout { name: "phpredis", format: Some("igbinary") };
    pub const FILES: Self = PhpsLayout { name: "php-files", format: Some("php") };
    pub const MINI: Self = PhpsLayout { name: "mini", format: None };
    pub const LARAVEL: Self = PhpsLayout { name: "laravel", format: None };

    /// What the probe is told besides: layout and format; and what the cases count on, where they say nothing themselves: the cookie's name, how long a
    /// browser keeps it, and a session's size, which PHP applications have otherwise by default.
    pub fn flags(self, given: &[&str]) -> Vec<&'static str> {
        let mut flags = vec!["--layout", self.name];
        flags.extend(self.format.into_iter().flat_map(|format| ["--php-serializer", format]));
        // Without TLS for good there is no prefix.
        let name = if given.contains(&"never") { "id" } else { "__Host-id" };
        for (flag, value) in [("--cookie-name", name), ("--cookie-lifetime", "0"), ("--max-bytes", "65536")] {
            if !given.contains(&flag) {
                flags.extend([flag, value]);
            }
        }
        flags
    }

    /// Why it cannot pass a case, if it cannot.
    fn why_not(self, case: &str) -> Option<&'static str> {
        // `serialize()` has any name.
        let keeps_numbers = self == Self::MINI;
        let why = WITHOUT.iter().find(|(name, _)| *name == case).map(|(_, why)| *why);
        why.filter(|why| *why != NUMBERS || !keeps_numbers)
    }

    /// Sessions of PHP's in which this user is logged in.
    pub fn sessions_with(self, probe: &Probe, user: &str) -> usize {
        if self.name == "phpredis" {
            return in_redis(probe.server(), user);
        }
        let files = std::fs::read_dir(probe.dir.path().join("sessions")).unwrap();
        let files = files.map(|file| file.unwrap().path()).filter(|path| path.is_file());
        let user = format!("\"{user}\"");
        files.filter(|path| std::fs::read_to_string(path).unwrap_or_default().contains(&user)).count()
    }
}

fn in_redis(server: &Server, user: &str) -> usize {
    let script = "local n = 0 for _, key in ipairs(redis.call('KEYS', 'PHPREDIS_SESSION:*')) do \
                  local value = redis.call('GET', key) \
                  if not string.find(key, '_LOCK$') and (string.find(value, ARGV[1], 1, true) or string.find(value, ARGV[2], 1, true)) \
                  then n = n + 1 end end return n";
    // In quotation marks, or behind its length.
    let (text, igbinary) = (format!("\\\"{user}\\\""), format!("\\x11\\x{:02x}{user}", user.len()));
    let answer = server.raw(&format!("EVAL \"{script}\" 0 \"{text}\" \"{igbinary}\""));
    answer.strip_prefix(':').and_then(|rest| rest.split("\r\n").next()).unwrap().parse().unwrap()
}

/// Runs a case on PHP's layout: it passes, or it is known why it cannot.
pub fn run_on_phps_layout<F: Future<Output = ()>>(case: &str, place: Place, make: impl Fn(Place) -> F) {
    let make = || make(place);
    match place.php.and_then(|layout| layout.why_not(case)) {
        None => run(make()),
        Some(why) => {
            let passed = catch_unwind(AssertUnwindSafe(|| run(make())));
            assert!(passed.is_err(), "PHP's layout can do it after all, although {why}");
        }
    }
}
