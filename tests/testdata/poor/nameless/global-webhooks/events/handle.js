export default () => ({ events: [] })
