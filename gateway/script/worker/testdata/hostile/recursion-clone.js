// structuredClone of objects 1,000,000 deep
export default function handle(input) {
  let o = {}
  for (let i = 0; i < 1e6; i++) o = { o }
  structuredClone(o)
}
