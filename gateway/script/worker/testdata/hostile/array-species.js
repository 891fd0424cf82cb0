// an array whose species is endless
export default function handle(input) {
  class A extends Array { static get [Symbol.species]() { return function () { return new Proxy([], { defineProperty: () => true, get: (t, k) => k === 'length' ? 2 ** 53 - 1 : 1 }) } } }
  return { events: [{ selector: 's', payload: A.from([1, 2]).map(x => x) }] }
}
