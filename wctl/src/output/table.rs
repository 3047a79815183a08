//! Text tables: columns as wide as their widest cell, three spaces between, like kubectl.

use serde_json::Value;

/// What of a server's Table is shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown {
    /// Columns of lower priority too (`-o wide`).
    pub(crate) wide: bool,
    /// A column NAMESPACE first.
    pub(crate) namespace: bool,
    /// A column LABELS last.
    pub(crate) labels: bool,
}

/// Rows of text under headers.
#[derive(Debug, Default, Clone)]
pub(crate) struct Grid {
    /// Column names, in capitals.
    pub(crate) headers: Vec<String>,
    /// Cells, as many as headers.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Grid {
    /// An empty grid.
    pub(crate) fn new(headers: &[&str]) -> Self {
        Self {
            headers: headers.iter().map(|header| (*header).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text of the grid, without the header line if asked so.
    pub(crate) fn render(&self, with_headers: bool) -> String {
        let mut widths: Vec<usize> =
            self.headers.iter().map(|header| header.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        let headers = with_headers.then_some(&self.headers);
        for row in headers.into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width + 3 - cell.chars().count()));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Reads a `meta.k8s.io/v1` Table; `prefix` goes before each name (`pod/`), empty for none.
pub(crate) fn from_server(table: &Value, shown: Shown, prefix: &str) -> Grid {
    let columns: Vec<&Value> =
        table["columnDefinitions"].as_array().into_iter().flatten().collect();
    let kept: Vec<usize> = (0..columns.len())
        .filter(|at| shown.wide || columns[*at]["priority"].as_i64().unwrap_or(0) == 0)
        .collect();
    let mut grid = Grid::default();
    if shown.namespace {
        grid.headers.push("NAMESPACE".to_owned());
    }
    for at in &kept {
        grid.headers.push(columns[*at]["name"].as_str().unwrap_or_default().to_uppercase());
    }
    if shown.labels {
        grid.headers.push("LABELS".to_owned());
    }
    for row in table["rows"].as_array().into_iter().flatten() {
        let metadata = &row["object"]["metadata"];
        let mut cells = Vec::new();
        if shown.namespace {
            cells.push(metadata["namespace"].as_str().unwrap_or_default().to_owned());
        }
        for (position, at) in kept.iter().enumerate() {
            let text = cell(&row["cells"][*at]);
            cells.push(if position == 0 { format!("{prefix}{text}") } else { text });
        }
        if shown.labels {
            cells.push(labels(&metadata["labels"]));
        }
        grid.rows.push(cells);
    }
    grid
}

/// `a=b,c=d`, or `<none>`.
pub(crate) fn labels(labels: &Value) -> String {
    let pairs: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_table_becomes_text() {
        let table = json!({
        "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Ready", "priority": 0}, {"name": "IP", "priority": 1}],
        "rows": [
            {"cells": ["a", "1/1", "10.0.0.2"], "object": {"metadata": {"namespace": "x", "labels": {"k": "v"}}}},
            {"cells": ["longer", 0, null], "object": {"metadata": {"namespace": "x"}}},
        ]});
        let plain = from_server(&table, Shown::default(), "").render(true);
        assert_eq!(plain, "NAME     READY\na        1/1\nlonger   0\n");
        let shown = Shown { wide: true, namespace: true, labels: true };
        assert_eq!(
            from_server(&table, shown, "pod/").render(false),
            "x           pod/a        1/1     10.0.0.2   k=v\nx           pod/longer   0       <none>     <none>\n"
        );
    }
}
