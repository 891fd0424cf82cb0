// a pattern whose exec is somebody's
export default function handle(input) {
  const r = /x/g
  r.exec = () => ['x']
  'x'.replace(r, '')
}
