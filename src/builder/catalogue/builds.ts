/** The newest build of an image: which file it is, and the proved checksum that it must have. */
import { bundledKey, type CatalogueImage, filled, type PinnedKey } from './catalogue.ts'
import { type Checksum, readChecksums } from './checksums.ts'
import { fetchBytes, NotThere, type Source } from './fetching.ts'

export interface Build {
  url: string
  fileName: string
  version: string
  /** As the publisher registers it on EC2. */
  imageName: string
  checksum: Checksum
  /** The fingerprint of the key that signed the checksum; null where nobody did. */
  signedBy: string | null
}

export interface BuildRequest {
  /** Stands in for the publisher's host, with the same paths. */
  mirror?: string
  signal: AbortSignal
}

type Found = Readonly<Record<string, string>>

/** Throws when the host cannot be reached, when nothing of that name lies there, and when the signature is not the publisher's. */
export async function newestBuild(image: CatalogueImage, { mirror, signal }: BuildRequest): Promise<Build> {
  const source = sourceOf(image, mirror)
  const at = (path: string) => `${source.host}${path}`
  const [path, fromFolder] = image.build ? await newestFolder(source, image, signal) : [image.folder, {}]
  const { names, only } = await sumsNames(source, at(path), image, signal)
  const sums = await fetchBytes(source, new URL(names, at(path)).href, signal)
  // Where the folder of the newest build is a redirect, the file lies where the checksums were.
  const folder = new URL('.', sums.url).href
  const { text, signedBy } = await proved(source, image, { bytes: sums.bytes, url: sums.url }, signal)
  const listed = readChecksums(text, only)
  const { name, found } = newest([...listed.keys()], image.file) ?? notListed(image, sums.url)
  const facts = { ...fromFolder, ...found }
  return {
    url: new URL(encodeURIComponent(name), folder).href,
    fileName: name,
    version: filled(image.version, facts),
    imageName: filled(image.imageName, facts),
    checksum: listed.get(name)!,
    signedBy,
  }
}

/** Where an image is fetched from. Throws when the mirror is no URL of a host. */
export function sourceOf({ publisher, signature }: CatalogueImage, mirror?: string): Source {
  const host = (mirror ?? publisher.host).replace(/\/+$/, '')
  if (!/^https?:$/.test(URL.parse(host)?.protocol ?? ''))
    throw new NotThere(`the mirror '${host}' is no http or https URL`)
  return { host, isSigned: signature !== undefined }
}

async function newestFolder(source: Source, image: CatalogueImage, signal: AbortSignal): Promise<[string, Found]> {
  const url = `${source.host}${image.folder}`
  const folders = (await listing(source, url, signal)).flatMap((name) => (name.endsWith('/') ? name.slice(0, -1) : []))
  const build = newest(folders, image.build!)
  if (!build)
    throw new NotThere(`${url} lists no build of ${image.name}: the mirror has another layout, or is not whole`)
  return [`${image.folder}${build.name}/`, build.found]
}

/** The name of the checksums' file; and of the image's, where each has its own. */
async function sumsNames(
  source: Source,
  folder: string,
  { sums, file, name }: CatalogueImage,
  signal: AbortSignal,
): Promise<{ names: string; only?: string }> {
  if (/^[\w.-]+$/.test(sums)) return { names: sums }
  const entries = await listing(source, folder, signal)
  const isOfEach = sums.includes('{file}')
  const found = newest(entries, isOfEach ? file : sums)
  if (!found)
    throw new NotThere(
      `${folder} lists no ${isOfEach ? 'image' : 'checksums'} of ${name}: the mirror has another layout, or is not whole`,
    )
  return isOfEach ? { names: filled(sums, { file: found.name }), only: found.name } : { names: found.name }
}

/** What an index page links to, as names in its own folder. */
async function listing(source: Source, url: string, signal: AbortSignal): Promise<string[]> {
  const { bytes, url: place } = await fetchBytes(source, url, signal)
  const links = [...bytes.toString('utf8').matchAll(/href\s*=\s*["']?([^"'>\s]+)/gi)]
  return links.flatMap(([, link]) => {
    const target = URL.parse(link!, place)
    if (!target?.href.startsWith(place)) return []
    return /^[^/?#]+\/?$/.exec(target.href.slice(place.length))?.[0] ?? []
  })
}

/** The last in the order of people: 9.10 behind 9.9. Undefined when no name is of that shape. */
export function newest(names: readonly string[], shape: string): { name: string; found: Found } | undefined {
  const pattern = new RegExp(`^(?:${shape})$`)
  const fitting = names.filter((name) => pattern.test(name)).sort((a, b) => order.compare(a, b))
  const name = fitting.at(-1)
  return name === undefined ? undefined : { name, found: { ...pattern.exec(name)!.groups } }
}

const order = new Intl.Collator('en', { numeric: true })

function notListed({ name, title }: CatalogueImage, url: string): never {
  throw new NotThere(
    `${url} lists no file of ${title} (${name}), so nothing could prove it: the mirror has another layout, or is not whole`,
  )
}

async function proved(
  source: Source,
  { publisher, signature }: CatalogueImage,
  sums: { bytes: Buffer; url: string },
  signal: AbortSignal,
): Promise<{ text: string; signedBy: string | null }> {
  if (signature === undefined) return { text: sums.bytes.toString('utf8'), signedBy: null }
  // Not at the top: it is a large module, and most commands have no use for it.
  const { pinnedKeys, verifyDetached, verifyInline, WrongSignature } = await import('./signatures.ts')
  try {
    const texts = await Promise.all(publisher.keys.map((key) => keyText(source, key, signal)))
    const keys = (await Promise.all(publisher.keys.map((key, i) => pinnedKeys(texts[i]!, key.fingerprint)))).flat()
    if (signature === 'inline') {
      const { text, fingerprint } = await verifyInline(sums.bytes, keys)
      return { text, signedBy: fingerprint }
    }
    const { bytes } = await fetchBytes(source, new URL(signature, sums.url).href, signal)
    const { text, fingerprint } = await verifyDetached(sums.bytes, bytes, keys)
    return { text, signedBy: fingerprint }
  } catch (error) {
    if (!(error instanceof WrongSignature)) throw error
    throw new WrongSignature(
      `${sums.url} is not what ${publisher.title} has signed: ${error.message}; nothing was taken`,
      {
        cause: error,
      },
    )
  }
}

async function keyText(source: Source, key: PinnedKey, signal: AbortSignal): Promise<string> {
  if ('file' in key) return bundledKey(key.file)
  return (await fetchBytes(source, `${source.host}${key.path}`, signal)).bytes.toString('utf8')
}
