// a promise resolved with a promise, 1,000,000 deep
export default async function handle(input) {
  let p = Promise.resolve(1)
  for (let i = 0; i < 1e6; i++) { const q = p; p = new Promise(r => r(q)) }
  await p
}
