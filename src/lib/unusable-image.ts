/** A file that cannot become a disk here. The message is for whoever sent the file: what it is, and why it is refused. */
export class UnusableImage extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'UnusableImage'
  }
}
