use futures_util::{StreamExt, TryStreamExt};

use super::super::rotate::rotate;
use super::super::writer::{LogWriter, Stream as Source};
use super::*;

fn write(path: &Path, numbers: std::ops::Range<u32>) {
    let mut writer = LogWriter::open(path).unwrap();
    for number in numbers {
        let stamp: Timestamp = format!("2026-11-21T10:00:{number:02}Z").parse().unwrap();
        let text = format!("line {number}\n");
        writer.write(Source::Stdout, &mut Vec::new(), text.as_bytes(), stamp);
    }
}

async fn all(path: &Path, options: LogOptions) -> String {
    let chunks: Vec<Bytes> = read(path.to_path_buf(), options).try_collect().await.unwrap();
    String::from_utf8(chunks.concat()).unwrap()
}

#[tokio::test]
async fn options_choose_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    assert_eq!(all(&path, LogOptions::default()).await, "", "no file is an empty log");
    write(&path, 0..3);
    rotate(&path).unwrap();
    write(&path, 3..5);
    let plain = LogOptions::default;
    assert_eq!(all(&path, plain()).await, "line 0\nline 1\nline 2\nline 3\nline 4\n");
    assert_eq!(all(&path, LogOptions { tail: Some(1), ..plain() }).await, "line 4\n");
    assert_eq!(all(&path, LogOptions { tail: Some(0), ..plain() }).await, "");
    let across = LogOptions { tail: Some(3), ..plain() };
    assert_eq!(all(&path, across).await, "line 2\nline 3\nline 4\n");
    assert_eq!(all(&path, LogOptions { tail: Some(99), ..plain() }).await.lines().count(), 5);
    let since = Some("2026-11-21T10:00:04Z".parse().unwrap());
    assert_eq!(all(&path, LogOptions { since, ..plain() }).await, "line 4\n");
    let stamped = LogOptions { timestamps: true, tail: Some(1), ..plain() };
    assert_eq!(all(&path, stamped).await, "2026-11-21T10:00:04.000000000Z line 4\n");
    assert_eq!(all(&path, LogOptions { limit_bytes: Some(8), ..plain() }).await, "line 0\nl");
}

#[tokio::test]
async fn one_stream_can_be_read_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let mut writer = LogWriter::open(&path).unwrap();
    let stamp: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    for (source, text) in
        [(Source::Stdout, "out 1\n"), (Source::Stderr, "err 1\n"), (Source::Stdout, "out 2\n")]
    {
        writer.write(source, &mut Vec::new(), text.as_bytes(), stamp);
    }
    for (stream, want) in [
        (None, "out 1\nerr 1\nout 2\n"),
        (Some(LineStream::Stdout), "out 1\nout 2\n"),
        (Some(LineStream::Stderr), "err 1\n"),
    ] {
        assert_eq!(all(&path, LogOptions { stream, ..LogOptions::default() }).await, want);
    }
}

#[tokio::test]
async fn following_sees_new_lines_rotations_and_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app/0.log");
    let end = CancellationToken::new();
    let options = LogOptions { follow: Some(end.clone()), ..LogOptions::default() };
    // Nothing is there yet, not even the directory.
    let mut stream = Box::pin(read(path.clone(), options));
    let writer = {
        let path = path.clone();
        std::thread::spawn(move || {
            write(&path, 0..2);
            rotate(&path).unwrap();
            write(&path, 2..4);
        })
    };
    let mut text = String::new();
    while text.lines().count() < 4 {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    writer.join().unwrap();
    assert_eq!(text, "line 0\nline 1\nline 2\nline 3\n");
    write(&path, 4..5);
    end.cancel();
    let rest: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert_eq!(rest.concat(), b"line 4\n", "what was written before the end is still read");
}
