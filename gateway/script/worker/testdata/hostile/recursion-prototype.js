// a chain of 1,000,000 prototypes
export default function handle(input) {
  let o = {}
  for (let i = 0; i < 1e6; i++) o = Object.create(o)
  for (let i = 0; i < 1e6; i++) o.missing
}
