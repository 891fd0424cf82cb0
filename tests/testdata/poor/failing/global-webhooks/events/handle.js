export default () => ({ events: [{ id: '1', type: 'a', selector: 'a', payload: null }] })
