// await in a loop
export default async function handle(input) {
  for (;;) await null
}
