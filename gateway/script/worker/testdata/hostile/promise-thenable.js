// a thenable that resolves with another, for ever
export default async function handle(input) {
  const t = { then(f) { f({ then: t.then }) } }
  await t
}
