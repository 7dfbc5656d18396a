/** A form with a file (`multipart/form-data`), whose file is read as it comes. The fields before the file count. */
import { once } from 'node:events'
import { Busboy, type BusboyFileStream } from '@fastify/busboy'
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'

export interface UploadForm {
  /** By their names in lower case. */
  fields: ReadonlyMap<string, string>
  fileName: string
  /** Throws `MalformedPOSTRequest` when the form breaks off. */
  content: AsyncIterable<Buffer>
  /** Stops reading, when the file is not wanted. */
  close(): void
}

/** S3: at most 20 KB of fields before the file. */
const fieldBytesMax = 20 * 1024
const fieldsMax = 100
/** Of everything that is not the file; a first piece of the file may come with it. */
const framingBytesMax = 1024 ** 2

/** Throws `MalformedPOSTRequest`, `InvalidArgument` without a file, `MaxMessageLengthExceeded` when the fields are too long. */
export async function readForm(contentType: string, source: AsyncIterable<Uint8Array>): Promise<UploadForm> {
  const reading = new FormReading(contentType)
  const ended = reading.take(source)
  try {
    const { fileName, file } = await reading.file
    return { fields: reading.fields, fileName, content: contentOf(file, ended), close: () => reading.stop() }
  } catch (error) {
    reading.stop()
    throw error
  }
}

/** Parser and file report what is wrong as events, at any time, and an event that nobody hears ends the process. */
class FormReading {
  readonly fields = new Map<string, string>()
  readonly file: Promise<{ fileName: string; file: BusboyFileStream }>
  readonly #parser
  readonly #stopped = new AbortController()
  #file: BusboyFileStream | undefined
  #fail: (error: unknown) => void

  constructor(contentType: string) {
    const { promise, resolve, reject } = Promise.withResolvers<{ fileName: string; file: BusboyFileStream }>()
    this.file = promise
    promise.catch(() => {})
    this.#fail = (error) => {
      reject(malformed(error))
      this.#file?.destroy(malformed(error))
    }
    this.#parser = openParser(contentType)
    this.#parser.on('error', this.#fail)
    this.#parser.on('field', (name, value, isNameCut, isValueCut) => this.#take(name, value, isNameCut || isValueCut))
    this.#parser.on('file', (_, file, fileName) => {
      file.on('error', () => {})
      this.#file = file
      resolve({ fileName: fileName ?? '', file })
    })
  }

  /** Reads the form to its end; never rejects before that is asked for. */
  take(source: AsyncIterable<Uint8Array>): Promise<void> {
    const taking = this.#takeAll(source).catch((error) => {
      this.#fail(error)
      throw malformed(error)
    })
    taking.catch(() => {})
    return taking
  }

  stop(): void {
    this.#stopped.abort()
    this.#file?.destroy()
  }

  async #takeAll(source: AsyncIterable<Uint8Array>): Promise<void> {
    const { signal } = this.#stopped
    const finished = once(this.#parser, 'finish', { signal })
    finished.catch(() => {})
    let total = 0
    for await (const piece of source) {
      if (signal.aborted) return
      total += piece.length
      const max = this.#file ? limits.objectPartBytes + framingBytesMax : framingBytesMax
      if (total > max) throw new KilnError('MaxMessageLengthExceeded', `The form has more than ${max} bytes.`)
      if (!this.#parser.write(piece)) await once(this.#parser, 'drain', { signal })
    }
    this.#parser.end()
    await finished
    if (this.#file) return
    throw new KilnError('InvalidArgument', 'POST requires exactly one file upload per request.')
  }

  #take(name: string, value: string, isCut: boolean): void {
    if (this.#file) return
    const bytes = [...this.fields].reduce((sum, [key, text]) => sum + key.length + text.length, name.length)
    if (isCut || bytes + value.length > fieldBytesMax) {
      const message = `The fields before the file have more than ${fieldBytesMax} bytes.`
      this.#fail(new KilnError('MaxMessageLengthExceeded', message))
      return
    }
    this.fields.set(name.toLowerCase(), value)
  }
}

function openParser(contentType: string) {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      preservePath: true,
      limits: { fieldNameSize: 256, fieldSize: fieldBytesMax, fields: fieldsMax, files: 1, headerPairs: 32 },
      // The file is known by its field's name alone.
      isPartAFile: (name) => name?.toLowerCase() === 'file',
    })
  } catch (cause) {
    throw malformed(cause)
  }
}

async function* contentOf(file: BusboyFileStream, ended: Promise<void>): AsyncGenerator<Buffer> {
  try {
    for await (const piece of file) yield piece as Buffer
    // A form that breaks off behind the file may have had more of it.
    await ended
  } catch (cause) {
    throw malformed(cause)
  }
}

function malformed(cause: unknown): KilnError {
  if (isKilnError(cause)) return cause
  return new KilnError(
    'MalformedPOSTRequest',
    'The body of your POST request is not well-formed multipart/form-data.',
    {
      cause,
    },
  )
}
