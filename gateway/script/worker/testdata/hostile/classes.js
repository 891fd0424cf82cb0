// classes that extend one another
export default function handle(input) {
  let C = class {}
  for (let i = 0; i < 1e6; i++) C = class extends C {}
  new C()
}
