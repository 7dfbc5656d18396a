/**
 * Where Debian comes from: the archive that this host's apt is set up for, or one that is named. The image keeps the same
 * sources, so that its users install from where its maker could.
 */
import { messageOf } from '../../lib/errors.ts'
import { run } from '../../lib/programs.ts'
import { type Apt, freshApt } from '../kiln-linux/debian-packages.ts'
import { hostEnvironment } from '../kiln-linux/host-environment.ts'
import { release, suites } from './recipe.ts'

/** One line of a sources.list: `deb URI SUITE main`. */
export type SourceLine = string

const format = '$(REPO_URI) $(RELEASE) $(CODENAME) $(COMPONENT) $(ORIGIN)'

/** Sources of the suites that a host's apt can read; throws when it knows none of the release itself. */
export async function hostSources(listsDir: string): Promise<SourceLine[]> {
  const apt = await freshApt(listsDir).catch((cause) => {
    throw new Error(`apt-get could not read Debian's package lists: ${messageOf(cause)}`, { cause })
  })
  const lines = sourceLines(await indexTargets(apt))
  if (lines.length > 0) return lines
  throw new Error(
    `this host's apt has no source of ${release.title} over http or https (see apt-get indextargets): ` +
      "give --mirror URL, that of a Debian archive such as this host's /etc/apt/sources.list would name it",
  )
}

async function indexTargets({ options }: Apt): Promise<string> {
  const words = [...options, 'indextargets', '--format', format, 'Created-By: Packages']
  return await run('apt-get', words, { env: hostEnvironment })
}

/** Of what apt lists, what is Debian's and of the release; empty when the release itself is not among it. */
export function sourceLines(targets: string): SourceLine[] {
  const found = targets.split('\n').map((line) => line.trim().split(' '))
  const lines = suites.map((suite) => {
    const one = found.find(
      ([uri, named, codename, component, origin]) =>
        /^https?:\/\/\S+$/.test(uri!) &&
        [named, codename].includes(suite) &&
        component === 'main' &&
        origin === 'Debian',
    )
    return one && `deb ${one[0]} ${suite} main`
  })
  return lines[0] === undefined ? [] : lines.filter((line) => line !== undefined)
}

/** The release alone, of an archive somewhere else. Throws when that is no URL of one. */
export function mirrorSources(mirror: string): SourceLine[] {
  const url = URL.parse(mirror)
  if (!url || !/^https?:$/.test(url.protocol) || /\s/.test(mirror))
    throw new Error(`the mirror '${mirror}' is no http or https URL`)
  return [`deb ${url.href} ${suites[0]} main`]
}

/** The proxies that this host's apt goes through, as variables: the image is not to know them. */
export async function proxyVariables(): Promise<Record<string, string>> {
  const said = await run('apt-config', [
    'shell',
    'http_proxy',
    'Acquire::http::Proxy',
    'https_proxy',
    'Acquire::https::Proxy',
  ])
  const assignments = said.matchAll(/^(https?_proxy)='(\S+)'$/gm)
  return Object.fromEntries([...assignments].map(([, name, value]) => [name!, value!]))
}
