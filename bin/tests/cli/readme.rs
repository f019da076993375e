//! Every command and flag that the README shows exists.

use crate::util::Dir;

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = include_str!("../../../README.md");
    let dir = Dir::new();
    let mut seen = 0;
    let lines = readme.lines().filter_map(|line| line.trim_start().strip_prefix("sta-node "));
    for line in lines {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let command =
            words.iter().find(|word| !word.starts_with('-')).filter(|_| !words[0].starts_with('-'));
        let help =
            dir.run(&command.map_or_else(|| vec!["--help"], |command| vec![*command, "--help"]));
        help.expect(0, &["Usage: sta-node"], &[]);
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.out.contains(flag), "{line}: no {flag} in\n{}", help.out);
        }
        seen += 1;
    }
    assert!(seen >= 5, "the README shows {seen} commands");
}
