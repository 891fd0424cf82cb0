export default ({ query }) => ({ response: { data: query.challenge } })
