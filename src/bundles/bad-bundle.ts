/** A bundle, or its manifest, is not what it should be. The message is for whoever made it: it names part, place and reason. */
export class BadBundle extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'BadBundle'
  }
}
