//! Random sessions as `php` text, with what only PHP's own classes can be: objects, enums, references and cycles.

use cloakroom_php::{Format, Session};

/// [SplitMix64](https://prng.di.unimi.it/splitmix64.c): one number is all it takes to repeat a run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.next() as u8).collect()
    }
}

/// The classes of `server.php`.
struct Inventor<'r> {
    random: &'r mut Random,
    /// msgpack carries trees only, and no enums and `Serializable` data.
    trees_only: bool,
    out: Vec<u8>,
    slot: u32,
    /// What a reference may lead to. A place that holds an object again, and is a reference to another such place, PHP does not write.
    targets: Vec<u32>,
    objects: Vec<u32>,
    /// A case of an enum is one object, however often it stands there.
    cases: Vec<(&'static str, u32)>,
    /// Opaque data beside back references would make the session read-only.
    opaque: bool,
}

/// A session whose variables are `v0`, `v1`, …
pub(crate) fn session(random: &mut Random, format: Format) -> Session {
    let trees_only = format == Format::Msgpack;
    let opaque = !trees_only && random.one_in(8);
    let mut inventor = Inventor {
        random,
        trees_only,
        out: Vec::new(),
        slot: 0,
        targets: Vec::new(),
        objects: Vec::new(),
        cases: Vec::new(),
        opaque,
    };
    for n in 0..inventor.random.below(6) {
        inventor.out.extend_from_slice(format!("v{n}|").as_bytes());
        inventor.value(4);
    }
    let text = inventor.out;
    Session::decode(Format::Php, text.as_slice())
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)))
}

impl Inventor<'_> {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, bytes: &[u8]) {
        self.text(&format!("s:{}:\"", bytes.len()));
        self.out.extend_from_slice(bytes);
        self.text("\";");
    }

    fn bytes(&mut self) -> Vec<u8> {
        match self.random.below(8) {
            0 => Vec::new(),
            1 => self.random.bytes(40),
            2 => "ü\"".repeat(self.random.below(200)).into(),
            3 => b"i:1;R:1;}|{s:3:\"".to_vec(),
            4 if self.random.one_in(50) => vec![b'x'; 65_536],
            _ => self.random.pick(&["sku", "qty", "paid", "new"]).into(),
        }
    }

    fn key(&mut self, n: usize) {
        match self.random.below(6) {
            0 => {
                let key = self.random.pick(&[0, -1, i64::MAX, i64::MIN, 65_536, -300]);
                self.text(&format!("i:{key};"));
            }
            1 => {
                let key = self.random.bytes(4);
                self.string(&key);
            }
            2 => {
                let key = self.random.pick(&["0", "-0", "08", "9223372036854775808", "", "-5"]);
                self.string(key.as_bytes());
            }
            3 => self.text(&format!("i:{n};")),
            _ => {
                let key = self.random.pick(&["sku", "qty", "price", "id", "name"]);
                self.string(key.as_bytes());
            }
        }
    }

    fn next(&mut self) {
        self.slot += 1;
        self.targets.push(self.slot);
    }

    fn value(&mut self, depth: usize) {
        if !self.trees_only && !self.opaque && !self.targets.is_empty() && self.random.one_in(10) {
            if !self.objects.is_empty() && self.random.one_in(2) {
                self.slot += 1;
                let target = self.random.pick(&self.objects);
                self.objects.push(self.slot);
                return self.text(&format!("r:{target};"));
            }
            let target = self.random.pick(&self.targets);
            return self.text(&format!("R:{target};"));
        }
        if depth > 0 && self.random.one_in(2) {
            return if self.random.one_in(3) { self.object(depth - 1) } else { self.array(depth - 1) };
        }
        self.next();
        match self.random.below(8) {
            0 => self.text("N;"),
            1 => {
                let text = self.random.pick(&["b:0;", "b:1;"]);
                self.text(text);
            }
            2 => {
                let n = self.random.pick(&[0, 255, -256, 65_535, 1 << 32, -(1 << 32), i64::MAX, i64::MIN]);
                self.text(&format!("i:{n};"));
            }
            3 => {
                let n = self.random.next() as i64 >> self.random.below(64);
                self.text(&format!("i:{n};"));
            }
            4 => {
                let double = f64::from_bits(self.random.next());
                let text = if double.is_finite() { format!("{double:e}") } else { "NAN".into() };
                self.text(&format!("d:{text};"));
            }
            5 => {
                let text =
                    self.random.pick(&["0", "-0", "INF", "-INF", "0.1", "1e15", "1e17", "5e-324", "1e-5"]);
                self.text(&format!("d:{text};"));
            }
            _ => {
                let bytes = self.bytes();
                self.string(&bytes);
            }
        }
    }

    fn array(&mut self, depth: usize) {
        self.next();
        let count = if self.random.one_in(30) { 20 + self.random.below(20) } else { self.random.below(5) };
        let is_list = self.random.one_in(2);
        self.text(&format!("a:{count}:{{"));
        for n in 0..count {
            // A key that comes twice would make values that nothing holds. With back references they would still be counted.
            match is_list {
                true => self.text(&format!("i:{n};")),
                false if self.trees_only || self.opaque => self.key(n),
                false => self.string(format!("k{n}").as_bytes()),
            }
            self.value(depth);
        }
        self.text("}");
    }

    fn properties(&mut self, names: &[&str], depth: usize) {
        self.text(&format!("{}:{{", names.len()));
        for name in names {
            self.string(name.as_bytes());
            self.value(depth);
        }
        self.text("}");
    }

    fn object(&mut self, depth: usize) {
        match self.random.below(if self.trees_only { 4 } else { 6 }) {
            0 => self.instance("Node", &["next", "more"], depth),
            1 => self.instance("stdClass", &["a", "b"], depth),
            2 => self.instance("Account", &["name", "\0*\0mail", "\0Account\0id"], depth),
            3 => {
                let names = ["name", "\0*\0mail", "\0Account\0id", "\0Customer\0id"];
                self.instance("Customer", &names, depth);
            }
            4 if self.opaque => {
                self.slot += 1;
                self.text("C:6:\"Legacy\":5:{raw;}}");
            }
            _ if self.opaque => self.instance("Packed", &[], depth),
            4 => self.instance("Packed", &["x", "y"], depth),
            _ => {
                let case = self.random.pick(&["Suit:Hearts", "Suit:Spades", "Plain:One", "Plain:Two"]);
                self.slot += 1;
                match self.cases.iter().find(|(known, _)| *known == case).copied() {
                    Some((_, slot)) => self.text(&format!("r:{slot};")),
                    None => {
                        self.cases.push((case, self.slot));
                        self.text(&format!("E:{}:\"{case}\";", case.len()));
                    }
                }
            }
        }
    }

    fn instance(&mut self, class: &str, names: &[&str], depth: usize) {
        self.next();
        self.objects.push(self.slot);
        self.text(&format!("O:{}:\"{class}\":", class.len()));
        self.properties(names, depth);
    }
}
