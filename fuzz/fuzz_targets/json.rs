//! Mutations that leave JSON what it is: a value becomes another, a name another, a member comes or goes. Changes of
//! bytes alone seldom get so far, because most steps on the way are no JSON.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// The words of the dictionary: names, paths and values that mean something.
static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let lines = include_str!("../scim.dict").lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
});

/// Changes a value or two of the JSON in `data`. Every other time, and where it is no JSON, libFuzzer changes bytes.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut chance = Chance(u64::from(seed) | 1 << 32);
    if chance.below(2) == 0
        && let Ok(mut value) = serde_json::from_slice::<Value>(&data[..size])
    {
        for _ in 0..=chance.below(3) {
            edit(&mut value, &mut chance);
        }
        let text = value.to_string();
        if text.len() <= max_size {
            data[..text.len()].copy_from_slice(text.as_bytes());
            return text.len();
        }
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max_size)
}

/// Xorshift: the same seed has to give the same mutation.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }

    fn word(&mut self) -> String {
        WORDS[self.below(WORDS.len())].clone()
    }

    fn value(&mut self, whole: &Value) -> Value {
        match self.below(10) {
            0 => Value::Null,
            1 => (self.below(2) == 0).into(),
            2 => "".into(),
            3 => Value::Array(Vec::new()),
            4 => Map::new().into(),
            5 => self.below(1_000).into(),
            6 => Map::from_iter([(self.word(), self.word().into())]).into(),
            7 => {
                let index = self.below(count(whole));
                nth(&mut whole.clone(), &mut { index }).take()
            }
            _ => self.word().into(),
        }
    }
}

fn edit(whole: &mut Value, chance: &mut Chance) {
    let new = chance.value(whole);
    let mut index = chance.below(count(whole));
    let node = nth(whole, &mut index);
    match (node, chance.below(4)) {
        (Value::Object(members), 0..3) => {
            let at = chance.below(members.len() + 1);
            let key = members.keys().nth(at).cloned();
            match (key, chance.below(3)) {
                (Some(key), 0) => {
                    members.shift_remove(&key);
                }
                (Some(key), 1) => {
                    let value = members.shift_remove(&key).unwrap_or_default();
                    members.insert(chance.word(), value);
                }
                _ => {
                    members.insert(chance.word(), new);
                }
            }
        }
        (Value::Array(values), 0..3) => {
            let at = chance.below(values.len() + 1);
            match values.get(at).cloned() {
                Some(_) if chance.below(2) == 0 => {
                    values.remove(at);
                }
                Some(twin) if chance.below(2) == 0 => values.push(twin),
                _ => values.insert(at, new),
            }
        }
        (node, _) => *node = new,
    }
}

/// How many values there are in `value`, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// The value at `index`, which is below the count.
fn nth<'v>(value: &'v mut Value, index: &mut usize) -> &'v mut Value {
    let mut inner: Vec<&mut Value> = match value {
        _ if *index == 0 => return value,
        Value::Array(values) => values.iter_mut().collect(),
        Value::Object(members) => members.values_mut().collect(),
        _ => return value,
    };
    *index -= 1;
    while !inner.is_empty() {
        let first = inner.remove(0);
        let size = count(first);
        if *index < size {
            return nth(first, index);
        }
        *index -= size;
    }
    unreachable!("the index is below the count")
}
