use serde_json::json;

use super::*;

#[test]
fn texts_are_of_their_formats_or_not() {
    // Format, texts that are of it, texts that are not.
    let rows: &[(&str, &[&str], &[&str])] = &[
        (
            "bsonobjectid",
            &["507f1f77bcf86cd799439011"],
            &["507f1f77bcf86cd79943901", "507f1f77bcf86cd79943901g"],
        ),
        ("byte", &["YQ==", "YWI=", "YWJj", "YR=="], &["", "YQ", "YQ=", "Y-==", "YQ==\n"]),
        (
            "cidr",
            &["10.0.0.0/8", "10.0.0.1/08", "010.0.0.0/8", "fd00::/64"],
            &["10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "fd00::/129", "::1%eth0/64"],
        ),
        (
            "creditcard",
            &["4111 1111 1111 1111", "5105-1051-0510-5100", "378282246310005", "2223003122003222"],
            &["4111111111111112", "1234567890123456", ""],
        ),
        (
            "date",
            &["2026-11-21", "2024-02-29"],
            &["2026-11-31", "2026-1-1", "20261121", "2023-02-29", "2026-11-21T10:00:00Z"],
        ),
        (
            "date-time",
            &[
                "2026-11-21T10:00:00Z",
                "2026-11-21t10:00:00.5z",
                "2026-11-21T10:00:00+01:00",
                "2026-11-21T10:00:00,5Z",
            ],
            &[
                "2026-11-21 10:00:00Z",
                "2026-11-21T10:00:00",
                "2026-11-21T24:00:00Z",
                "2026-11-21T10:60:00Z",
                "2026-11-21T23:59:60Z",
                "2026-11-31T10:00:00Z",
                "noon",
                "",
            ],
        ),
        (
            "duration",
            &["1h30m", "-1.5s", "0", "3 days", "1w 2d", "5 MINUTES", "1.5 hours", "about 3 weeks"],
            &["", "1", "3 fortnights", "days", "99999999999999999999 days"],
        ),
        (
            "email",
            &[
                "a@b.example",
                "A Name <a@b.example>",
                "<a@b>",
                "\"a b\"@c",
                "a@b (a comment)",
                "a@[10.0.0.1]",
                "group: a@b;",
                "a.b@c",
            ],
            &[
                "",
                "a",
                "a@",
                "@b",
                "a@b@c",
                "a b@c",
                "<a@b",
                "a..b@c",
                ".a@b",
                "\"\"@b",
                "a@b, c@d",
                "group: a@b, c@d;",
                "a@b <",
            ],
        ),
        ("hexcolor", &["#fff", "FFAA00"], &["#ffff", "#ggg", ""]),
        (
            "hostname",
            &["example.com", "a", "a-b", "a-1.example.org", "xn--a.b.cd"],
            &[
                "",
                "my-host",
                "-a.com",
                "a-.com",
                "a.b",
                "example.com.",
                "a..com",
                "a_b.com",
                "example.c0m",
            ],
        ),
        (
            "ipv4",
            &["10.0.0.1", "010.0.0.1", "::ffff:10.0.0.1"],
            &["10.0.0", "10.0.0.256", "::1", "1.2.3.4.5", "+1.2.3.4"],
        ),
        ("ipv6", &["::1", "fd00::1", "::ffff:10.0.0.1"], &["10.0.0.1", "::1%lo", "12345::", ""]),
        (
            "isbn",
            &["0321751043", "0-321-75104-3", "978-0321751041", "080442957X"],
            &["0321751044", "9780321751042", "032175104", ""],
        ),
        ("isbn10", &["0321751043", "0 321 75104 3"], &["978-0321751041", "X321751043"]),
        ("isbn13", &["978-0321751041"], &["0321751043", "978032175104X"]),
        ("k8s-short-name", &["a-1"], &["a.b", "A", ""]),
        ("k8s-long-name", &["a.b-1.c"], &["a..b", "A"]),
        (
            "mac",
            &[
                "00:00:5e:00:53:01",
                "00-00-5E-00-53-01",
                "0000.5e00.5301",
                "00005e005301",
                "02:00:5e:10:00:00:00:01",
            ],
            &["00:00:5e:00:53", "00:00-5e:00:53:01", "0000.5e00", "g0:00:5e:00:53:01", ""],
        ),
        ("password", &["", "anything"], &[]),
        ("quantity", &["10Gi", "1.5", "100m"], &["10GiB", "", "ten"]),
        (
            "rgbcolor",
            &["rgb(255, 0,10)", "rgb( 1 ,2,3)"],
            &["rgb(256,0,0)", "rgb(1,2)", "rgb(01,2,3)"],
        ),
        ("ssn", &["123-45-6789", "123 45 6789"], &["123456789", "123-456789", "12-345-6789"]),
        (
            "uri",
            &[
                "http://a.example/b?c=%zz#d",
                "/a b",
                "mailto:a@b",
                "*",
                "http://a:80",
                "http://[::1]:80/",
                "http://u:p@h",
                "a:b",
                "//x",
                "http://a%C3%A4",
                "urn:x:y",
            ],
            &[
                "",
                "a",
                "a/b",
                ":a",
                "http://a b/",
                "http://a:b/",
                "http://[::1/",
                "http://[a]/",
                "/%zz",
                "http://%41/",
                "1:b",
                "a\nb",
                "http://u@v@h^",
            ],
        ),
        (
            "uuid",
            &["123e4567-e89b-12d3-a456-426614174000", "123E4567E89B12D3A456426614174000"],
            &["123e4567", ""],
        ),
        (
            "uuid3",
            &["123e4567-e89b-32d3-0456-426614174000"],
            &["123e4567-e89b-42d3-a456-426614174000"],
        ),
        (
            "uuid4",
            &["123e4567-e89b-42d3-a456-426614174000"],
            &["123e4567-e89b-42d3-c456-426614174000"],
        ),
        (
            "uuid5",
            &["123e4567-e89b-52d3-a456-426614174000"],
            &["123e4567-e89b-42d3-a456-426614174000"],
        ),
        ("semver", &["anything", ""], &[]),
    ];
    for (format, good, bad) in rows {
        for text in *good {
            assert!(fits(format, text), "{text:?} should be a {format}");
        }
        for text in *bad {
            assert!(!fits(format, text), "{text:?} should be no {format}");
        }
    }
}

#[test]
fn formats_mean_something_for_some_types() {
    for (schema, want) in [
        (json!({"type": "string", "format": "date-time"}), "date-time"),
        (json!({"type": "string", "format": "semver"}), ""),
        (json!({"type": "string", "format": "int32"}), ""),
        (json!({"type": "integer", "format": "int32"}), "int32"),
        (json!({"type": "integer", "format": "uint32"}), ""),
        (json!({"type": "number", "format": "float"}), "float"),
        (json!({"type": "object", "format": "date"}), ""),
        (json!({"format": "ipv4"}), "ipv4"),
        (json!({"x-kubernetes-int-or-string": true, "format": "int32"}), ""),
        (json!({"type": "integer", "x-kubernetes-int-or-string": true, "format": "int32"}), ""),
    ] {
        assert_eq!(of(&Schema::read(&schema).expect("a schema")), want, "{schema}");
    }
}
