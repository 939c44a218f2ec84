//! How far a copy is, on stderr if that is a terminal.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::store::backup::{Step, Watch};

/// What the bar looks like while a copy is made.
const COPYING: &str = "copying {bar:40} {bytes} of {total_bytes}, {eta} left";

/// Shows a bar, which goes away at the end. The copy always goes on.
pub fn shown() -> Watch {
    // The template is checked by a test; a bar of another look does no harm.
    let style =
        ProgressStyle::with_template(COPYING).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0)
        .with_style(style)
        .with_finish(ProgressFinish::AndClear);
    Arc::new(move |step| {
        match step {
            Step::Copied { bytes, of } => {
                bar.set_length(of);
                bar.set_position(bytes);
            }
            Step::Verifying => {
                bar.set_style(ProgressStyle::default_spinner());
                bar.set_message("verifying");
                bar.tick();
            }
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(COPYING).is_ok());
    }
}
