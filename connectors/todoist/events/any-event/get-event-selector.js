import { selectorOf } from 'common'

export default async function getEventSelector({ parameters }) {
  return {
    globalWebhookKey: 'account-events',
    globalWebhookEventSelector: selectorOf(parameters.userId),
  }
}
