"""How people say yes and no.

`yes` and `no` are clear. `mild` are courtesies, and words that make neither of it the other. `open` leaves it
open, whatever stands beside it: doubts, conditions, and what may mean either.
"""

from typing import Literal

__all__ = ["MEANINGS", "Meaning"]

Meaning = Literal["yes", "no", "mild", "open"]

MEANINGS: dict[str, dict[Meaning, str]] = {
    "en": {
        "yes": "yes, yeah, yep, yup, yea, aye, yes i do, yes you may, yes you can, sure, surely, "
        "sure thing, okay, ok, alright, all right, certainly, definitely, absolutely, affirmative, "
        "of course, by all means, go ahead, go for it, do it, do that, do so, please do, confirm, "
        "confirmed, i confirm, agreed, i agree, correct, that's correct, that's right, that's fine, "
        "thats fine by me, sounds good, you may, make it so, proceed, exactly",
        "no": "no, nope, nah, nay, never, not, don't, do not, don't do it, don't you dare, no way, "
        "no thanks, no thank you, absolutely not, certainly not, definitely not, of course not, "
        "please don't, better not, i'd rather not, rather not, not now, not yet, stop, stop it, "
        "leave it, leave it alone, forget it, forget about it, never mind, nevermind, negative, "
        "keep it, won't, mustn't, shouldn't, hold it there, by no means, under no circumstances, "
        "i do not, i don't, i don't want to, i don't want that, please do not, "
        "please do not do that, please do not do it, please don't do that, please don't do it, "
        "do not do it, do not do that, don't do that, do not do so, not okay, not ok, not alright, "
        "not fine, not right, that's not right, not correct, that's not correct, "
        "that is not correct, i don't agree, i do not agree, don't agree, not agreed, "
        "don't go ahead, do not go ahead, don't proceed, do not proceed, don't confirm, "
        "do not confirm, i don't think so, not at all",
        "mild": "please, thanks, thank you, thank you very much, very much, a lot, so much, oh, ah, well, "
        "um, uh, hm, hmm, that, it, this, the, a, i, you, me, for me, then, now, right, right now, "
        "right away, and, would, will, can, could, may, is, was, be, to, i'd like that, "
        "i would like that, i want that, i want to, i'm sure, i am sure, quite sure, very sure, "
        "just, really, indeed, no problem, no worries, no doubt, no objection, no objections, "
        "don't worry, why not go ahead, my, your, sir, madam, great, perfect, good, fine, just do it",
        "open": "but, however, although, unless, except, only if, if, instead, rather, maybe, perhaps, "
        "possibly, probably, i guess, i suppose, i think so, i think, think so, guess so, "
        "i don't know, don't know, i do not know, i do not mind, i do not care, i do not understand, "
        "i do not think so, dunno, do not know, i'm not sure, not sure, unsure, no idea, "
        "i don't mind, don't mind, don't care, i don't care, why, why not, what, which, who, when, "
        "where, how, wait, wait a minute, wait a second, hold on, one moment, just a moment, "
        "a moment, one second, hang on, let me think, it depends, depends, sorry, pardon, excuse me, "
        "repeat, say that again, again, i'm fine, i am fine, i'm good, i'm okay, all good, "
        "not really, not exactly, not that one, not only, yes and no, yes or no, or, okay but, "
        "so so, i don't understand, don't understand, i can't hear you, are you sure, what if, "
        "not necessarily, no wait",
    },
    "hi": {
        "yes": "हाँ, हां, हा, जी, जी हाँ, हाँ जी, बिल्कुल, बिलकुल, ज़रूर, अवश्य, ठीक है, ठीक, सही, सही है, "
        "कर दो, कर दीजिए, कर दीजिये, कीजिए, करो, कर दें, मंज़ूर है, haan, han ji, haan ji, ji haan, "
        "ji han, ji, bilkul, zaroor, zarur, theek hai, thik hai, kar do, kar dijiye, kar dijie, "
        "kijiye, sahi hai, manzoor hai",
        "no": "नहीं, नही, नहीं जी, जी नहीं, ना, मत, मत करो, मत कीजिए, मत करिए, बिल्कुल नहीं, बिलकुल नहीं, "
        "रहने दो, रहने दीजिए, कभी नहीं, nahi, nahin, nahee, nahi ji, ji nahi, ji nahin, mat karo, "
        "mat kijiye, mat, bilkul nahi, rehne do, rehne dijiye, सही नहीं, ठीक नहीं, ठीक नहीं है, "
        "सही नहीं है, मंज़ूर नहीं, theek nahi, sahi nahi, manzoor nahi",
        "mild": "कृपया, धन्यवाद, शुक्रिया, मेहरबानी, इसे, उसे, यह, ये, वह, है, तो, अभी, प्लीज़, भाई, मैडम, "
        "सर, कोई बात नहीं, कोई समस्या नहीं, kripya, dhanyavad, shukriya, ise, use, hai, to, abhi, "
        "koi baat nahi, bhai",
        "open": "शायद, पता नहीं, मुझे पता नहीं, मुझे नहीं पता, मालूम नहीं, लेकिन, मगर, पर, अगर, रुको, रुकिए, "
        "क्या, क्यों, कौन, दूसरा, समझ नहीं आया, फिर से, shayad, pata nahi, pata nahin, "
        "mujhe nahi pata, maloom nahi, lekin, magar, agar, ruko, rukiye, kya, kyon, kyun, kaun, "
        "samajh nahi aaya, phir se",
    },
    "de": {
        "yes": "ja, jawohl, jo, jep, ja bitte, ja gerne, gern, gerne, sicher, natürlich, "
        "selbstverständlich, klar, na klar, auf jeden fall, unbedingt, genau, richtig, stimmt, "
        "das stimmt, einverstanden, in ordnung, okay, ok, mach das, machen sie das, tu das, "
        "tun sie das, nur zu, bestätigt, ich bestätige, passt",
        "no": "nein, nee, nö, ne, nicht, keinesfalls, auf keinen fall, auf gar keinen fall, bloß nicht, "
        "niemals, lieber nicht, noch nicht, jetzt nicht, nein danke, lass es, lassen sie es, "
        "lassen sie das, halt, stopp, natürlich nicht, sicher nicht, bitte nicht, kein, keine, "
        "keinen, auf gar keinen, nicht einverstanden, nicht richtig, nicht in ordnung, stimmt nicht, "
        "das stimmt nicht, mach das nicht, machen sie das nicht, tu das nicht, tun sie das nicht, "
        "gar nicht, überhaupt nicht",
        "mild": "bitte, danke, danke schön, vielen dank, das, es, den, die, der, dann, jetzt, ich, will, "
        "möchte, so, kein problem, keine sorge, kein thema, doch, bitte schön, und, mal, ganz, sehr, "
        "gut, sie, können, dürfen, ist, war, ich bin sicher, ach, na",
        "open": "aber, vielleicht, eventuell, weiß nicht, ich weiß nicht, weiß ich nicht, keine ahnung, "
        "nicht sicher, ich bin nicht sicher, bin mir nicht sicher, wenn, falls, nur wenn, "
        "stattdessen, sondern, moment, einen moment, warte, warten sie, wie bitte, was, welche, "
        "welcher, welches, wer, warum, warum nicht, jein, ja und nein, mir egal, egal, oder, wie, "
        "nicht nur, nicht diese, nochmal, noch mal, verstehe nicht, ich verstehe nicht, außer, "
        "ich glaube",
    },
    "fr": {
        "yes": "oui, ouais, mais oui, oui oui, bien sûr, bien sur, certainement, absolument, tout à fait, "
        "d'accord, entendu, volontiers, exact, exactement, c'est exact, c'est ça, c'est bon, "
        "allez y, vas y, faites le, fais le, je confirme, confirmé, avec plaisir, parfaitement, ok, "
        "okay",
        "no": "non, nan, pas, jamais, surtout pas, pas du tout, bien sûr que non, non merci, mais non, "
        "ne faites pas ça, ne le faites pas, arrêtez, arrête, pas maintenant, pas encore, "
        "laissez tomber, laisse tomber, hors de question, certainement pas, absolument pas, "
        "pas d'accord, je ne suis pas d'accord, ce n'est pas ça, c'est pas bon, ne confirmez pas, "
        "pas exact",
        "mild": "s'il vous plaît, s'il te plaît, merci, merci beaucoup, le, la, ça, c'est, alors, "
        "maintenant, je, veux, voudrais, pas de problème, pas de souci, aucun problème, et, très, "
        "bien, vous, pouvez, madame, monsieur, ah, oh, eh bien, parfait, super",
        "open": "mais, peut être, je ne sais pas, je sais pas, sais pas, aucune idée, sauf, plutôt, au lieu, "
        "attendez, attends, un moment, un instant, une minute, quoi, comment, lequel, laquelle, qui, "
        "pourquoi, pourquoi pas, pas sûr, je ne suis pas sûr, je ne suis pas sûre, oui et non, ou, "
        "je ne comprends pas, je comprends pas, pas seulement, pas celui là, pas celle là, répétez, "
        "pardon, ça dépend, ça m'est égal, je crois, je pense",
    },
    "es": {
        "yes": "sí, si, claro, claro que sí, por supuesto, desde luego, de acuerdo, vale, correcto, exacto, "
        "exactamente, es correcto, cómo no, adelante, hazlo, hágalo, confirmo, confirmado, "
        "afirmativo, está bien, seguro, sin duda, dale, eso es, ok, okay",
        "no": "no, nunca, jamás, para nada, claro que no, por supuesto que no, de ninguna manera, "
        "ni hablar, no gracias, no lo haga, no lo hagas, todavía no, aún no, ahora no, mejor no, "
        "déjalo, déjelo, pare, para, en absoluto, no estoy de acuerdo, no de acuerdo, "
        "no es correcto, no confirmo, no vale, no está bien",
        "mild": "por favor, gracias, muchas gracias, lo, la, el, eso, esto, entonces, ahora, quiero, "
        "quisiera, no hay problema, sin problema, ningún problema, no se preocupe, y, muy, bien, "
        "señor, señora, ah, oh, pues, perfecto, estoy seguro, estoy segura, usted, puede",
        "open": "pero, quizás, quizá, tal vez, a lo mejor, no sé, no lo sé, no se, no lo se, ni idea, "
        "si es que, sino, excepto, salvo, en vez, en lugar, espere, espera, un momento, qué, cuál, "
        "quién, por qué, por qué no, cómo, no estoy seguro, no estoy segura, sí y no, o, "
        "no entiendo, no ese, no esa, no solo, otra vez, repita, depende, me da igual, creo que sí, "
        "supongo",
    },
    "it": {
        "yes": "sì, si, certo, certo che sì, certamente, sicuro, sicuramente, ma certo, d'accordo, va bene, "
        "esatto, esattamente, giusto, corretto, assolutamente sì, naturalmente, volentieri, procedi, "
        "proceda, fallo, lo faccia, faccia pure, fai pure, confermo, confermato, ok, okay, "
        "senz'altro, come no",
        "no": "no, non, mai, no grazie, assolutamente no, certo che no, niente affatto, per niente, "
        "non farlo, non lo faccia, non ancora, non adesso, meglio di no, lascia stare, lasci stare, "
        "si fermi, fermati, neanche per sogno, non sono d'accordo, non d'accordo, non va bene, "
        "non è corretto, non è giusto, non confermo, non procedere",
        "mild": "per favore, per piacere, grazie, grazie mille, prego, lo, la, il, questo, allora, adesso, "
        "ora, voglio, vorrei, nessun problema, non c'è problema, non si preoccupi, e, molto, bene, "
        "signore, signora, ah, oh, perfetto, sono sicuro, sono sicura, pure, può",
        "open": "ma, però, forse, magari, non so, non lo so, boh, nessuna idea, se, invece, tranne, eccetto, "
        "aspetti, aspetta, un momento, un attimo, cosa, che cosa, quale, chi, perché, perché no, "
        "come, non sono sicuro, non sono sicura, sì e no, o, oppure, non capisco, non ho capito, "
        "non quello, non solo, di nuovo, ripeta, dipende, credo, credo di sì, penso",
    },
    "pt": {
        "yes": "sim, claro, claro que sim, com certeza, certo, certamente, correto, exato, exatamente, "
        "isso, isso mesmo, está bem, tá bom, tá, pode, pode sim, pode ser feito, pode fazer, faça, "
        "faz isso, confirmo, confirmado, de acordo, concordo, positivo, beleza, ok, okay, é isso, "
        "sem dúvida",
        "no": "não, nao, nunca, jamais, de jeito nenhum, de modo nenhum, claro que não, não obrigado, "
        "não obrigada, não faça, não faz isso, ainda não, agora não, melhor não, deixa, deixe estar, "
        "pare, nem pensar, não concordo, não confirmo, não pode, não está certo, não está bem, "
        "não é isso",
        "mild": "por favor, obrigado, obrigada, muito obrigado, muito obrigada, o, a, então, agora, quero, "
        "queria, sem problema, não tem problema, não há problema, e, muito, bem, senhor, senhora, "
        "ah, oh, perfeito, tenho certeza",
        "open": "mas, porém, talvez, não sei, sei lá, nem ideia, não faço ideia, se, em vez, exceto, espere, "
        "espera, um momento, um minuto, o quê, que, qual, quem, por quê, por que, por que não, como, "
        "não tenho certeza, sim e não, ou, não entendi, não entendo, não esse, não essa, não só, "
        "de novo, repita, depende, tanto faz, acho, acho que sim, pode ser",
    },
    "nl": {
        "yes": "ja, jawel, jazeker, zeker, zeker weten, natuurlijk, uiteraard, absoluut, graag, klopt, "
        "dat klopt, juist, inderdaad, akkoord, prima, goed, in orde, oké, oke, ok, doe maar, "
        "doe het, ga je gang, ga uw gang, ik bevestig, bevestigd, is goed, dat is goed",
        "no": "nee, neen, niet, nooit, zeker niet, absoluut niet, natuurlijk niet, nee dank je, "
        "nee dank u, nee bedankt, liever niet, beter niet, nog niet, nu niet, laat maar, "
        "doe het niet, niet doen, geen, stop, geenszins, niet akkoord, niet goed, klopt niet, "
        "dat klopt niet, niet in orde, doe maar niet, niet graag",
        "mild": "alstublieft, alsjeblieft, graag gedaan, dank je, dank u, dank je wel, dank u wel, bedankt, "
        "het, de, dat, dit, dan, nu, ik, wil, geen probleem, geen zorgen, hoor, maar even, en, heel, "
        "erg, u, mag, kunt, mevrouw, meneer, ik weet het zeker, ach",
        "open": "maar, misschien, wellicht, weet niet, ik weet het niet, weet ik niet, geen idee, als, "
        "tenzij, behalve, in plaats, wacht, wacht even, moment, een moment, momentje, wat, welke, "
        "wie, waarom, waarom niet, hoe, niet zeker, ik ben niet zeker, ja en nee, of, "
        "ik begrijp het niet, niet die, niet alleen, nog eens, herhaal, hangt ervan af, "
        "maakt niet uit, ik denk, ik denk het",
    },
    "pl": {
        "yes": "tak, tak tak, oczywiście, jasne, pewnie, zgoda, zgadzam się, dobrze, dobra, w porządku, "
        "dokładnie, zgadza się, potwierdzam, proszę bardzo, zrób to, proszę to zrobić, naturalnie, "
        "owszem, na pewno, ok, okej, okay, śmiało",
        "no": "nie, nie nie, nigdy, w żadnym razie, w żadnym wypadku, oczywiście że nie, nie dziękuję, "
        "lepiej nie, jeszcze nie, nie teraz, nie rób tego, proszę nie, stop, zostaw, "
        "proszę zostawić, absolutnie nie, nie zgadzam się, nie potwierdzam, nie zgoda, niedobrze, "
        "nie dobrze, nie zgadza się",
        "mild": "proszę, dziękuję, dzięki, to, teraz, chcę, nie ma problemu, żaden problem, bardzo, pan, "
        "pani, i, może pan, może pani, świetnie, jestem pewien, jestem pewna",
        "open": "ale, może, być może, nie wiem, nie mam pojęcia, jeśli, jeżeli, oprócz, zamiast, czekaj, "
        "proszę czekać, chwileczkę, chwila, moment, co, który, która, które, kto, dlaczego, "
        "czemu nie, jak, nie jestem pewien, nie jestem pewna, tak i nie, albo, lub, czy, "
        "nie rozumiem, nie ten, nie ta, nie tylko, jeszcze raz, proszę powtórzyć, wszystko jedno, "
        "chyba, chyba tak",
    },
    "tr": {
        "yes": "evet, evet evet, tabii, tabii ki, tabi, elbette, kesinlikle, tamam, olur, peki, doğru, "
        "aynen, onaylıyorum, onaylıyorum evet, kabul, kabul ediyorum, yap, yapın, lütfen yapın, "
        "buyurun, hay hay",
        "no": "hayır, yok, olmaz, asla, istemiyorum, yapma, yapmayın, hayır teşekkürler, kesinlikle hayır, "
        "tabii ki hayır, sakın, vazgeçtim, iptal etme, iptal etmeyin, şimdi değil, henüz değil, "
        "değil, dur, durun, kabul etmiyorum, onaylamıyorum, doğru değil, tamam değil",
        "mild": "lütfen, teşekkürler, teşekkür ederim, sağ ol, sağolun, bunu, onu, şimdi, istiyorum, "
        "sorun değil, sorun yok, problem değil, efendim, çok, ve, eminim",
        "open": "ama, fakat, ancak, belki, bilmiyorum, emin değilim, eğer, yerine, hariç, bekle, bekleyin, "
        "bir dakika, bir saniye, ne, hangi, hangisi, kim, neden, neden olmasın, niye, nasıl, veya, "
        "ya da, anlamadım, bu değil, o değil, tekrar, fark etmez, galiba, sanırım, hem evet hem hayır",
    },
    "ru": {
        "yes": "да, да да, ага, конечно, разумеется, безусловно, обязательно, хорошо, ладно, верно, "
        "правильно, точно, согласен, согласна, подтверждаю, давай, давайте, сделайте, делайте, "
        "пожалуй да, так точно, именно, окей, ок, можно, можете",
        "no": "нет, нет нет, не, не надо, не нужно, никогда, ни в коем случае, конечно нет, нет спасибо, "
        "лучше не надо, пока нет, ещё нет, не сейчас, не делайте, не делай, стоп, нельзя, ни за что, "
        "отставить, оставьте, не согласен, не согласна, не подтверждаю, не давай, не давайте, "
        "не хорошо, нехорошо, не верно, неверно, неправильно, не можно",
        "mild": "пожалуйста, спасибо, большое спасибо, это, его, её, тогда, сейчас, я, хочу, нет проблем, "
        "без проблем, не проблема, не волнуйтесь, и, очень, вы, ну, ой, отлично, уверен, уверена",
        "open": "но, однако, может, может быть, возможно, не знаю, я не знаю, понятия не имею, если, кроме, "
        "вместо, подождите, подожди, погодите, минутку, секунду, что, какой, какая, какое, кто, "
        "почему, почему бы и нет, почему нет, как, не уверен, не уверена, я не уверен, я не уверена, "
        "и да и нет, да нет, или, не понимаю, не понял, не поняла, не этот, не эту, не тот, "
        "не только, ещё раз, повторите, всё равно, наверное, кажется",
    },
    "ar": {
        "yes": "نعم, أجل, ايوه, أيوه, ايوا, أيوا, آه, اه, بلى, طبعا, بالطبع, أكيد, بالتأكيد, موافق, موافقة, "
        "تمام, حسنا, ماشي, صحيح, تفضل, تفضلي, افعل, افعل ذلك, أؤكد, مؤكد",
        "no": "لا, لأ, كلا, أبدا, مطلقا, لا شكرا, لا أريد, لا تفعل, لا تفعل ذلك, ليس الآن, ليس بعد, "
        "بالطبع لا, طبعا لا, أكيد لا, مش عايز, ليس, توقف, اتركه, مستحيل, غير موافق, غير موافقة, "
        "لست موافقا, لا أوافق, غير صحيح, مش موافق, مش تمام",
        "mild": "من فضلك, لو سمحت, رجاء, شكرا, شكرا جزيلا, هذا, ذلك, الآن, أريد, لا مشكلة, لا بأس, "
        "مفيش مشكلة, مافي مشكلة, يا سيدي, و, جدا, ممتاز, أنا متأكد, أنا متأكدة",
        "open": "لكن, ولكن, بس, ربما, يمكن, لا أعرف, لا أدري, لا اعلم, مش عارف, إذا, لو, إلا, بدلا, انتظر, "
        "لحظة, دقيقة, ماذا, ما, أي, من, لماذا, لم لا, ليش, ليه, كيف, لست متأكدا, مش متأكد, أو, أم, "
        "لم أفهم, لا أفهم, ليس هذا, ليس فقط, مرة أخرى, أعد, نعم ولا, لا فرق",
    },
    "ja": {
        "yes": "はい, はいはい, ええ, うん, そうです, そうしてください, その通りです, お願いします, お願い, "
        "はいお願いします, いいですよ, いいよ, もちろん, もちろんです, 了解, 了解です, 了解しました, "
        "わかりました, 承知しました, かしこまりました, オーケー, オッケー, やってください, "
        "してください, 進めてください, 確認しました, 間違いありません, どうぞ",
        "no": "いいえ, いや, いやです, ううん, だめ, だめです, ダメ, ダメです, 違います, 違う, やめて, "
        "やめてください, やめます, しないで, しないでください, ないで, いりません, 要りません, "
        "結構です, 遠慮します, まだです, 絶対だめ, 待った, やっぱりやめます, 嫌, 嫌です, "
        "同意しません, お願いしません, 進めないでください, よくないです, よくない",
        "mild": "です, ます, ね, よ, を, は, の, が, に, で, と, ください, ありがとう, ありがとうございます, "
        "どうも, それ, それで, これ, 今, 今すぐ, じゃあ, では, 問題ない, 問題ないです, "
        "問題ありません, あの, すぐ",
        "open": "けど, でも, しかし, かも, かもしれません, たぶん, 多分, わからない, わかりません, "
        "分からない, 分かりません, もし, 待って, 待ってください, ちょっと待って, ちょっと, 何, なに, "
        "どれ, どの, 誰, なぜ, どうして, どう, もう一度, すみません, いいです, 大丈夫, 大丈夫です, "
        "それとも, 代わりに, はいといいえ, どちらでも, 知りません, 知らない",
    },
    "zh": {
        "yes": "是, 是的, 是啊, 对, 对的, 對, 對的, 好, 好的, 好啊, 好吧, 可以, 可以的, 行, 行的, 当然, "
        "当然可以, 當然, 當然可以, 没错, 沒錯, 确认, 確認, 确定, 確定, 同意, 嗯, 嗯嗯, 要, 我要, "
        "请做吧, 去做吧, 就这样, 就這樣, 恩",
        "no": "不, 不是, 不要, 不行, 不可以, 不用, 不必, 不好, 不对, 不對, 不想, 我不想, 不同意, 别, 別, "
        "没有, 沒有, 不了, 不用了, 不要了, 算了, 当然不, 當然不, 先不要, 还没, 還沒, 绝不, 絕不, 停, "
        "停下, 不需要, 千万别, 不对吧, 不好吧, 不可以吧, 不确认, 不確認, 不必了",
        "mild": "请, 請, 谢谢, 謝謝, 多谢, 我, 你, 您, 它, 这个, 這個, 那个, 那個, 吧, 的, 了, 啊, 就, 现在, "
        "現在, 没问题, 沒問題, 没事, 沒事, 没关系, 沒關係, 麻烦, 麻煩, 帮我, 幫我, 哦, 想",
        "open": "但, 但是, 可是, 不过, 不過, 也许, 也許, 可能, 大概, 不知道, 我不知道, 不确定, 不確定, "
        "不清楚, 如果, 除非, 除了, 而是, 等等, 等一下, 等一等, 稍等, 什么, 什麼, 哪个, 哪個, 谁, 誰, "
        "为什么, 為什麼, 怎么, 怎麼, 再说一遍, 再說一遍, 还是, 還是, 或者, 不是这个, 不是那个, "
        "不是這個, 不是那個, 随便, 隨便, 无所谓, 無所謂, 是不是, 好不好, 要不要, 可不可以, 行不行, "
        "要不, 不只, 不仅, 吗, 嗎, 听不懂",
    },
    "ko": {
        "yes": "네, 네네, 예, 응, 그래, 그래요, 그럼요, 그렇습니다, 그렇게 해주세요, 그렇게 해 주세요, "
        "물론, 물론이죠, 물론입니다, 좋아, 좋아요, 좋습니다, 맞아요, 맞습니다, 알겠습니다, 알겠어요, "
        "확인, 확인했습니다, 동의합니다, 해주세요, 해 주세요, 하세요, 부탁해요, 부탁합니다, "
        "부탁드립니다, 오케이, 진행해 주세요, 진행해주세요",
        "no": "아니, 아니요, 아니오, 아뇨, 아닙니다, 안, 안 돼, 안돼, 안 돼요, 안돼요, 안 됩니다, "
        "안됩니다, 하지 마, 하지마, 하지 마세요, 하지마세요, 하지 말아 주세요, 하지 말아주세요, "
        "마세요, 말아주세요, 말아 주세요, 싫어, 싫어요, 싫습니다, 됐어요, 됐습니다, 그만, "
        "그만두세요, 필요 없어요, 필요없어요, 아직이요, 절대 안 돼요, 지 마세요, 지 말아 주세요, "
        "지 말아주세요, 동의하지 않습니다, 동의하지 않아요, 좋지 않아요, 맞지 않아요, 확인하지 마세요",
        "mild": "제발, 감사합니다, 고마워요, 고맙습니다, 그거, 이거, 그것, 지금, 을, 를, 은, 는, 이, 가, 요, "
        "그럼, 문제 없어요, 문제없어요, 문제 없습니다, 문제없습니다, 괜찮습니다만, 바로, 저는",
        "open": "하지만, 그런데, 근데, 아마, 아마도, 몰라, 몰라요, 모르겠어요, 모르겠습니다, 잘 모르겠어요, "
        "만약, 대신, 빼고, 잠깐, 잠깐만, 잠깐만요, 잠시만요, 기다려, 기다려 주세요, 기다려주세요, "
        "뭐, 무엇, 어떤, 어느, 누구, 왜, 어떻게, 다시, 다시 말해 주세요, 뭐라고요, 괜찮아요, "
        "괜찮습니다, 상관없어요, 또는, 아니면, 이해가 안 돼요, 이거 말고, 그거 말고, 말고",
    },
}
