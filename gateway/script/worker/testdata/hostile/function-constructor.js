// functions made from texts, without end
export default function handle(input) {
  const l = []
  for (let i = 0; ; i++) l.push(new Function('return ' + i + '/*' + 'x'.repeat(1e4) + '*/'))
}
