/** `kiln cert …`: the cloud's certificate, and those that the account signs its bundles with. */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { daemonOf, request } from '../daemon.ts'
import { accountOption, homeOption, jsonOption, regionOption } from '../options.ts'
import { print, printJson, table, time } from '../render.ts'
import { Services } from '../services.ts'
import { signerFiles, signerOf } from '../signer.ts'

interface Flags {
  home: string
  region: string
  account: string
  json?: boolean
}

export function addCertificates(program: Command): void {
  const cert = program.command('cert').description('certificates of instance-store bundles')
  const add = (name: string, description: string) =>
    cert
      .command(name)
      .description(description)
      .addOption(homeOption())
      .addOption(regionOption())
      .addOption(accountOption())
      .addOption(jsonOption())
  add('show', "the cloud's own certificate (PEM), which bundles are sealed for").action(show)
  add('create', 'make a key and a certificate for your bundles, and let the cloud know').action(create)
  add('list', 'the certificates that the account signs its bundles with').action(list)
  add('add', 'let bundles be signed with a certificate of yours')
    .argument('<file>', 'an X.509 certificate in PEM')
    .action(addFile)
  add('remove', 'let a certificate sign no more bundles').argument('<id>', "'kiln cert list' lists them").action(remove)
}

export async function cloudCertificate(home: string): Promise<string> {
  const page = await daemonOf(home)
  const response = await request(`${page.url}/_kiln/certificate`, {})
  const text = await response.text()
  if (response.ok) return text
  throw new Error(`the Kiln at ${page.url} gave no certificate: ${text.slice(0, 200)}`)
}

const servicesFor = async (flags: Flags) => new Services(await daemonOf(flags.home), flags)

async function show(flags: Flags): Promise<void> {
  const certificate = await cloudCertificate(flags.home)
  if (flags.json) return printJson({ certificate })
  process.stdout.write(certificate)
}

async function create(flags: Flags): Promise<void> {
  const services = await servicesFor(flags)
  await signerOf(flags.account, services, () => {})
  const files = signerFiles(flags.account)
  if (flags.json) return printJson(files)
  print(`certificate: ${files.certificate}`)
  print(`private key: ${files.privateKey}`)
}

async function list(flags: Flags): Promise<void> {
  const certificates = await (await servicesFor(flags)).certificates()
  if (flags.json) return printJson(certificates)
  const rows = certificates.map(({ id, status, uploadedAt }) => [id, status, time(uploadedAt)])
  print(table(['certificate', 'status', 'since'], rows, "no certificates: 'kiln cert create' makes one"))
}

async function addFile(file: string, flags: Flags): Promise<void> {
  const id = await (await servicesFor(flags)).addCertificate(await readFile(file, 'utf8'))
  if (flags.json) return printJson({ id })
  print(id)
}

async function remove(id: string, flags: Flags): Promise<void> {
  await (await servicesFor(flags)).removeCertificate(id)
  if (flags.json) return printJson({ id })
  print(`${id} signs no more bundles`)
}
