//! Two instances on one Redis behind one address: nobody notices which of them answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[path = "../../cloakroom-redis/tests/support/mod.rs"]
mod servers;
mod support;

use std::thread;

use servers::{Kind, Server};
use support::between;
use support::house::House;
use support::http::{Answer, Visitor};

fn house(server: &Server) -> House {
    House::on(&server.url())
}

#[test]
fn c1_a_basket_that_is_filled_through_both_at_once_loses_nothing() {
    let server = Server::start(Kind::Redis);
    let house = house(&server);
    let mut visitor = house.visitor();
    visitor.add("ticket");
    visitor.get("/counter");
    let before = house.each(|demo| demo.metric("cloakroom_commits_total"));
    let goods = ["scarf", "gloves", "cape", "bowler", "fedora", "beanie"];
    thread::scope(|scope| {
        for good in goods {
            let mut tab = visitor.clone();
            scope.spawn(move || {
                for n in 0..10 {
                    // The last of each goes for the same thing as everybody's.
                    let good = if n == 9 { "umbrella" } else { good };
                    assert_eq!(tab.add(good).status, 303);
                }
            });
        }
    });
    let after = house.each(|demo| demo.metric("cloakroom_commits_total"));
    for mut seen in house.at_each(&visitor) {
        assert_eq!(seen.get("/basket").in_basket(), 61);
    }
    // Each counts its own, and both had a share of it.
    assert!(after.iter().zip(&before).all(|(after, before)| after > before), "{before:?}, then {after:?}");
}

#[test]
fn c5_the_careful_clerks_of_two_instances_serve_one_after_the_other() {
    let server = Server::start(Kind::Valkey);
    let house = house(&server);
    let mut visitor = house.visitor();
    visitor.add("ticket");
    visitor.get("/counter");
    let start = std::time::Instant::now();
    let answers: Vec<Answer> = thread::scope(|scope| {
        let tabs = house.at_each(&visitor).map(|mut tab| scope.spawn(move || tab.post("/counter/lock", "")));
        tabs.map(|tab| tab.join().unwrap()).into()
    });
    assert!(answers.iter().all(|answer| answer.status == 303));
    assert!(start.elapsed().as_secs() >= 4, "two seconds each: {:?}", start.elapsed());
    let page = visitor.get("/counter").body;
    assert_eq!(between(&page, "id=\"number-lock\">", "<"), Some("2"));
}

#[test]
fn whoever_logs_in_at_one_instance_is_known_at_the_other() {
    let server = Server::start(Kind::Redis);
    let house = house(&server);
    let mut visitor = house.demos[0].visitor();
    visitor.get("/login");
    assert_eq!(visitor.post("/login", "name=Ada").status, 303);
    for mut seen in house.at_each(&visitor) {
        assert!(seen.get("/").body.contains("Ada"));
    }
    let mut elsewhere = visitor.at(house.demos[1].address());
    elsewhere.get("/");
    assert_eq!(elsewhere.post("/logout", "").status, 303);
    for mut seen in house.at_each(&visitor) {
        assert!(!seen.get("/").body.contains("Ada"), "C2: a logout at the one is a logout at the other");
    }
}

#[test]
fn s46_devices_are_logged_out_at_both_instances_at_once() {
    let server = Server::start(Kind::Redis);
    let house = house(&server);
    let mut laptop = house.visitor();
    let mut phone = house.visitor();
    for device in [&mut laptop, &mut phone] {
        device.get("/login");
        device.post("/login", "name=Ada");
    }
    for mut seen in house.at_each(&laptop) {
        assert_eq!(seen.get("/devices").body.matches("<li class=\"device").count(), 2);
    }
    laptop.get("/devices");
    assert_eq!(laptop.post("/devices/revoke-others", "").status, 303);
    for mut seen in house.at_each(&phone) {
        assert!(!seen.get("/").body.contains("Ada"));
    }
    for mut seen in house.at_each(&laptop) {
        assert!(seen.get("/").body.contains("Ada"));
    }
}

#[test]
fn s46_the_admin_page_lists_and_ends_everybody_s_sessions_whichever_instance_answers() {
    let server = Server::start(Kind::Redis);
    let house = house(&server);
    // One customer of each, and one of both.
    let mut customers: Vec<Visitor> = house.demos.iter().map(|demo| demo.visitor()).collect();
    customers.push(house.visitor());
    for (n, customer) in customers.iter_mut().enumerate() {
        customer.get("/login");
        customer.post("/login", &format!("name=Customer{n}"));
    }
    // The token in at one of them, whichever; the list through the one address.
    let mut staff = house.visitor();
    assert_eq!(
        staff.post("/admin/enter", &format!("token={}", House::TOKEN)).header("location"),
        Some("/admin")
    );
    let pages: Vec<String> = (0..4).map(|_| staff.get("/admin").body).collect();
    for page in &pages {
        assert_eq!(
            page.matches("name=\"handle\"").count(),
            3,
            "all of them, and the staff is not among them"
        );
    }
    // Which instance counted is on the page, and they took turns.
    for demo in &house.demos {
        let named = format!("Counted by the instance at <b>{}, process", demo.address());
        assert_eq!(pages.iter().filter(|page| page.contains(&named)).count(), 2);
    }
    let found = staff.get("/admin?user=Customer0").body;
    let handle = between(&found, "name=\"handle\" value=\"", "\"").unwrap();
    staff.post("/admin/revoke", &format!("handle={handle}"));
    staff.post("/admin/revoke-user", "user=Customer1");
    for (n, customer) in customers.iter().enumerate() {
        for mut seen in house.at_each(customer) {
            assert_eq!(seen.get("/").body.contains(&format!("Customer{n}")), n == 2);
        }
    }
    // A session of the shop opens no door here, at neither.
    customers[2].cookie = customers[2].cookie.take().map(|cookie| cookie.replacen("id=", "admin=", 1));
    for mut seen in house.at_each(&customers[2]) {
        assert_eq!(seen.get("/admin").header("location"), Some("/admin/enter"));
    }
}

#[test]
fn c8_an_instance_that_dies_takes_nobody_s_session_along() {
    let server = Server::start(Kind::Redis);
    let mut house = house(&server);
    let mut visitor = house.visitor();
    visitor.get("/login");
    visitor.post("/login", "name=Ada");
    for _ in 0..4 {
        visitor.get("/");
        visitor.add("cape");
    }
    house.demos[0].kill();
    for _ in 0..4 {
        let page = visitor.get("/basket");
        assert_eq!(page.in_basket(), 4);
        assert!(page.body.contains("Ada"));
    }
}
