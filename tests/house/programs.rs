//! `tools/elf`, which says for which machine a program is and how it is linked, knows a wrong one.

use std::path::Path;
use std::process::Command;

use crate::tree::root;

const ARM64: u16 = 183;
const X86_64: u16 = 62;

/// The beginning of a program: its header, and one that names its interpreter if it has one.
fn program(machine: u16, interpreter: Option<&str>) -> Vec<u8> {
    let mut image = vec![0; 64 + 56];
    image[..6].copy_from_slice(b"\x7fELF\x02\x01");
    image[18..20].copy_from_slice(&machine.to_le_bytes());
    image[32..40].copy_from_slice(&64u64.to_le_bytes()); // the headers of the program begin there
    image[54..56].copy_from_slice(&56u16.to_le_bytes());
    image[56..58].copy_from_slice(&1u16.to_le_bytes());
    if let Some(interpreter) = interpreter {
        let text = format!("{interpreter}\0");
        image[64..68].copy_from_slice(&3u32.to_le_bytes());
        image[72..80].copy_from_slice(&120u64.to_le_bytes());
        image[96..104].copy_from_slice(&(text.len() as u64).to_le_bytes());
        image.extend(text.as_bytes());
    }
    image
}

/// What the check says of a program, if it refuses it.
fn refusal(machine: &str, linking: &str, image: &[u8]) -> Option<String> {
    let name = format!("house-{}-{machine}-{linking}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, image).expect("a file");
    let output = Command::new("python3")
        .arg(root().join("tools/elf"))
        .args([machine, linking])
        .arg(Path::new(&path))
        .output()
        .expect("Python starts");
    std::fs::remove_file(&path).expect("the file is removed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

#[test]
fn a_program_for_another_machine_or_linked_in_another_way_is_refused() {
    let (glibc_arm64, glibc_x86_64) = ("/lib/ld-linux-aarch64.so.1", "/lib64/ld-linux-x86-64.so.2");
    let newer = [
        program(X86_64, Some(glibc_x86_64)),
        b"\0GLIBC_2.35\0".to_vec(),
    ]
    .concat();
    let older = [
        program(X86_64, Some(glibc_x86_64)),
        b"\0GLIBC_2.34\0".to_vec(),
    ]
    .concat();
    let cases = [
        ("arm64", "dynamic", program(ARM64, Some(glibc_arm64)), None),
        ("x86_64", "dynamic", older, None),
        ("x86_64", "static", program(X86_64, None), None),
        (
            "arm64",
            "dynamic",
            program(X86_64, Some(glibc_x86_64)),
            Some("expected a program for arm64 (e_machine 183), it is for x86_64 (62)"),
        ),
        (
            "arm64",
            "static",
            program(ARM64, Some(glibc_arm64)),
            Some("expected a static program, it needs /lib/ld-linux-aarch64.so.1"),
        ),
        (
            "x86_64",
            "dynamic",
            program(X86_64, Some("/lib/ld-musl-x86_64.so.1")),
            Some("expected a program that needs /lib64/ld-linux-x86-64.so.2"),
        ),
        (
            "x86_64",
            "dynamic",
            newer,
            Some("expected glibc 2.34 to suffice, it needs 2.35"),
        ),
        (
            "x86_64",
            "static",
            b"#!/bin/sh\n".to_vec(),
            Some("expected an ELF file"),
        ),
    ];
    for (machine, linking, image, expected) in cases {
        let found = refusal(machine, linking, &image);
        match (expected, found) {
            (None, None) => {}
            (Some(expected), Some(found)) => assert!(found.contains(expected), "{found}"),
            (expected, found) => panic!("{machine} {linking}: {expected:?}, but {found:?}"),
        }
    }
}
