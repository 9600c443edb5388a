//! The admin page, with its script.

use crate::driver::{Browser, Driver};
use crate::servers::{Kind, Server};
use crate::support::Demo;
use crate::support::house::House;

async fn enter(browser: &Browser, demo: &Demo) {
    enter_at(browser, &demo.base, &demo.token).await;
}

async fn enter_at(browser: &Browser, base: &str, token: &str) {
    browser.client.goto(&format!("{base}/admin")).await.unwrap();
    assert_eq!(browser.client.current_url().await.unwrap().path(), "/admin/enter");
    browser.write("#token", token).await;
    browser.click("main button").await;
    browser.until("location.pathname === '/admin'").await;
}

#[tokio::test]
async fn the_admin_page_wants_the_token_and_gives_a_cookie_of_its_own() {
    let driver = Driver::start().await;
    let demo = Demo::in_memory();
    let browser = driver.browser().await;
    browser.client.goto(&format!("{}/admin", demo.base)).await.unwrap();
    browser.write("#token", "let me in").await;
    browser.click("main button").await;
    browser.until("document.querySelector('.wrong')").await;
    assert!(browser.cookie("admin").await.is_none());
    enter(&browser, &demo).await;
    let cookie = browser.cookie("admin").await.unwrap();
    assert_eq!(cookie.http_only(), Some(true));
    assert_eq!(cookie.same_site().map(|s| s.to_string()).as_deref(), Some("Strict"));
    assert!(browser.cookie("id").await.is_none(), "the shop has not met this visitor");
    assert!(!browser.client.source().await.unwrap().contains(&demo.token));
    browser.click("form[action='/admin/leave'] button").await;
    browser.until("location.pathname === '/admin/enter'").await;
    assert!(browser.cookie("admin").await.is_none());
    browser.close().await;
}

#[tokio::test]
async fn numbers_and_charts_move_while_somebody_looks() {
    let driver = Driver::start().await;
    let demo = Demo::in_memory();
    let browser = driver.browser().await;
    enter(&browser, &demo).await;
    browser.until("document.getElementById('pulse').dataset.state === 'live'").await;
    let value = |id: &str| format!("document.querySelector('[data-tile={id}] .tile-value').textContent");
    let line = "document.querySelector('[data-tile=commits] polyline').getAttribute('points')";
    browser.until(&format!("{} === '0'", value("commits"))).await;
    let before = browser.client.execute(&format!("return {line}"), vec![]).await.unwrap();

    let mut visitor = demo.visitor();
    visitor.add("cape");
    visitor.get("/counter");
    std::thread::scope(|scope| {
        for way in ["count", "count", "lock", "lock"] {
            let mut tab = visitor.clone();
            scope.spawn(move || tab.post(&format!("/counter/{way}"), ""));
        }
    });
    // No reload: the script alone.
    for (id, at_least) in [("live", 1), ("commits", 4), ("refused", 1), ("waits", 1)] {
        browser.until(&format!("Number({}) >= {at_least}", value(id))).await;
    }
    browser.until(&format!("{line} !== {before}")).await;

    // S39 and a program that went away: the page says so and goes on.
    drop(demo);
    browser.until("document.getElementById('pulse').dataset.state === 'lost'").await;
    browser.close().await;
}

#[tokio::test]
async fn s46_the_admin_logs_a_browser_out() {
    let driver = Driver::start().await;
    let demo = Demo::in_memory();
    let (staff, customer) = (driver.browser().await, driver.browser().await);
    customer.log_in(&demo.base, "Ada").await;
    enter(&staff, &demo).await;
    staff.write("#user", "Ada").await;
    staff.click(".search button").await;
    staff.until("location.search === '?user=Ada' && document.querySelector('.sessions button')").await;
    staff.click(".sessions button").await;
    staff.until("document.querySelector('.flash')").await;
    assert!(staff.body().await.contains("Ada has no session"));
    customer.client.goto(&demo.base).await.unwrap();
    assert!(!customer.body().await.contains("Checked in as"));
    staff.close().await;
    customer.close().await;
}

#[tokio::test]
async fn behind_one_address_the_page_goes_on_showing_the_instance_it_names() {
    let driver = Driver::start().await;
    let server = Server::start(Kind::Redis);
    let mut house = House::on(&server.url());
    let browser = driver.browser().await;
    enter_at(&browser, &format!("http://{}", house.address()), House::TOKEN).await;
    let named = browser.text(".whose b").await;
    let (shown, other) = match named.starts_with(&format!("{},", house.demos[0].address())) {
        true => (0, 1),
        false => (1, 0),
    };
    browser.until("document.getElementById('pulse').dataset.state === 'live'").await;
    // At the other instance a visitor comes and clicks: that is not of this page, which moves all the same.
    let mut visitor = house.demos[other].visitor();
    for _ in 0..3 {
        visitor.add("cape");
        visitor.get("/");
    }
    let line = "document.querySelector('[data-tile=latency] polyline').getAttribute('points')";
    let before = browser.client.execute(&format!("return {line}"), vec![]).await.unwrap();
    browser.until(&format!("{line} !== {before}")).await;
    assert_eq!(browser.text("[data-tile=commits] .tile-value").await, "0");

    house.demos[shown].kill();
    browser
        .until("document.getElementById('pulse-text').textContent === 'Only other instances answer'")
        .await;
    browser.close().await;
}
