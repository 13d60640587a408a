// Prints what Redocly's recommended rules report of the OpenAPI documents in the arguments.
// The command of Redocly needs four times as many packages as its library.
const { createConfig, lint } = require("@redocly/openapi-core");

async function main() {
  const config = await createConfig({ extends: ["recommended"] });
  const reports = process.argv.slice(2).map((ref) => lint({ ref, config }));
  const faults = (await Promise.all(reports)).flat();
  console.log(JSON.stringify(faults.map(({ ruleId, message }) => ({ code: ruleId, message }))));
}

main();
