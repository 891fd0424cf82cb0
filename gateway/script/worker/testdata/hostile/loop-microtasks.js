// promises that make promises
export default async function handle(input) {
  const again = () => Promise.resolve().then(again)
  await again()
}
