export const selectorOf = (parcel) => `depot:${parcel?.depot?.id}`
