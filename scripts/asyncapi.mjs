// Validates AsyncAPI documents with AsyncAPI's own parser: node asyncapi.mjs FOLDER_OF_THE_PARSER DOCUMENT...
// It prints every finding and ends with code 1 if one of them is an error or a warning. Of AsyncAPI 3 the parser reads schemas in
// Avro without validating them, so those in the folder schemas next to a document are validated here.
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";

const [folder, ...documents] = process.argv.slice(2);
const installed = createRequire(join(resolve(folder), "package.json"));
const { Parser, fromFile } = installed("@asyncapi/parser");
const { AvroSchemaParser } = installed("@asyncapi/avro-schema-parser");
const severities = ["error", "warning", "information", "hint"];
let bad = documents.length === 0;
for (const name of documents) {
  const parser = new Parser();
  parser.registerSchemaParser(AvroSchemaParser());
  const { document, diagnostics } = await fromFile(parser, name).parse();
  for (const d of diagnostics) {
    const { line, character } = d.range.start;
    console.log(`${name}:${line + 1}:${character + 1}: ${severities[d.severity]}: ${d.message} (${d.code}, ${d.path.join("/")})`);
    bad ||= d.severity <= 1;
  }
  const schemas = join(dirname(name), "schemas");
  for (const file of readdirSync(schemas).filter((file) => file.endsWith(".avsc"))) {
    for (const { message } of await AvroSchemaParser().validate({ data: JSON.parse(readFileSync(join(schemas, file))), path: [] })) {
      console.log(`${file}: error: ${message}`);
      bad = true;
    }
  }
  if (document) {
    console.log(`${name}: AsyncAPI ${document.version()}, ${document.channels().length} channels, ${document.allMessages().length} messages`);
  } else {
    bad = true;
  }
}
process.exit(bad ? 1 : 0);
