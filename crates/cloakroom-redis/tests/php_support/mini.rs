//! mini and a service of ours on one cache, wherever that is.

#![allow(unreachable_pub)]

use cloakroom::SessionManager;
use cloakroom::store::Store;
use cloakroom_php::layout::Layout;

use super::both::{Both, page, patient};
use super::fpm::Fpm;

/// An application of mini's and a service of ours. `cache`: what mini does with its cache, as PHP.
pub fn open(cache: &str, layout: &Layout, store: impl Store) -> Both {
    let steps = [cache, include_str!("../php/mini.php")].map(|part| part.trim_start_matches("<?php"));
    let php = Fpm::start(&page(&steps.join("\n")), "PHPSESSID", &[("serialize_precision", "-1")]);
    let config = patient(layout.session_config(), layout.locking());
    Both::new(php, SessionManager::new(store, config).unwrap(), layout.name())
}

/// mini takes no lock, so its requests undo what others wrote while they run: here they run between ours, and ours all at once.
pub async fn increments(both: &Both) {
    let mut id = None;
    both.php("do=set&key=n&value=0", &mut id);
    for round in 1..=5 {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (both, mut id) = (both.clone(), id.clone());
                tokio::spawn(async move { both.adds("n", &mut id).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        both.php("do=add", &mut id);
        assert_eq!(both.php("do=read&key=n", &mut id), (21 * round).to_string());
    }
    both.php_is_content();
}
