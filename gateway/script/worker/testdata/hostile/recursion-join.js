// join of arrays 3,000,000 deep
export default function handle(input) {
  let a = []
  for (let i = 0; i < 3e6; i++) a = [a]
  a.join()
}
