// Validates AsyncAPI documents with AsyncAPI's own parser: node asyncapi.mjs FOLDER_OF_THE_PARSER DOCUMENT...
// It prints every finding and ends with code 1 if one of them is an error or a warning.
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [folder, ...documents] = process.argv.slice(2);
const { Parser, fromFile } = createRequire(join(resolve(folder), "package.json"))("@asyncapi/parser");
const severities = ["error", "warning", "information", "hint"];
let bad = documents.length === 0;
for (const name of documents) {
  const { document, diagnostics } = await fromFile(new Parser(), name).parse();
  for (const d of diagnostics) {
    const { line, character } = d.range.start;
    console.log(`${name}:${line + 1}:${character + 1}: ${severities[d.severity]}: ${d.message} (${d.code}, ${d.path.join("/")})`);
    bad ||= d.severity <= 1;
  }
  if (document) {
    console.log(`${name}: AsyncAPI ${document.version()}, ${document.channels().length} channels, ${document.allMessages().length} messages`);
  } else {
    bad = true;
  }
}
process.exit(bad ? 1 : 0);
